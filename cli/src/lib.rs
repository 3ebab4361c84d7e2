//! The `millrace` command as a library: the tree of commands, and one exit code for each kind of
//! ending. Data goes to standard output, everything else to standard error.

mod act;
mod args;
mod bench;
mod config;
pub mod demo;
pub mod dev;
mod dlq;
mod doctor;
mod explain;
pub mod failure;
mod group;
mod house;
mod import;
mod journal;
mod load;
mod operation;
mod order;
pub mod output;
pub mod place;
mod projection;
mod schema;
mod topic;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use failure::Failure;
use output::{Format, Output};

const EXAMPLES: &str = "\
Examples:
  millrace dev                              start everything on this machine
  millrace import products products.csv     tell the catalogue what is sold
  millrace import orders orders.csv --wait  place orders, and see how each ends
  millrace order show ID --wait             follow one order
  millrace doctor                           is everything there?";

const EVERYWHERE: &str = "Options of every command";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 not found, 4 refused, 5 unreachable, \
10 a check found something wrong.";

/// Orders on Kafka: run them, follow them, operate them.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, propagate_version = true, subcommand_required = true)]
#[command(before_help = EXAMPLES, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// How results are printed: table, wide, json, ndjson or id.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value = "table")]
    #[arg(env = "MILLRACE_OUTPUT", hide_possible_values = true, help_heading = EVERYWHERE)]
    output: Format,
    /// Where the system is: a file like the one that `millrace dev` writes.
    #[arg(long, global = true, value_name = "FILE")]
    #[arg(env = "MILLRACE_ENDPOINTS", help_heading = EVERYWHERE)]
    endpoints: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine and stay until Ctrl-C.
    Dev(dev::DevArgs),
    /// Tell the stories of an order on the real stack, and check each of them.
    Demo(demo::DemoArgs),
    /// Bring a file of products, stock, accounts or orders to the services.
    #[command(subcommand)]
    Import(import::Import),
    /// Place, follow, list and cancel orders.
    #[command(subcommand)]
    Order(order::Order),
    /// Show, verify and export what was said about orders; see what other rules would have done.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Look at dead letters; redrive, repair or discard them.
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Show the services' consumer groups; pause them, or put one record out of their way.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Follow, pause, resume and cancel what was asked of the services.
    #[command(subcommand)]
    Operation(operation::OperationCommand),
    /// Rebuild views beside the live ones, compare, swap, take back.
    #[command(subcommand)]
    Projection(projection::ProjectionCommand),
    /// Place orders at a steady rate, and see how long they take and how each ends.
    #[command(subcommand)]
    Load(load::LoadCommand),
    /// Measure each goal of speed beside peers and limits, as ratios of one run.
    Bench(bench::BenchArgs),
    /// List and create the topics.
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Register the schemas, and generate code from them.
    #[command(subcommand)]
    Schema(schema::Schema),
    /// Show the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Examine broker, registry, databases, services, versions, topics and clocks.
    Doctor,
    /// Say what is promised for each topic and reader, and which settings make it so.
    #[command(before_help = "Examples:\n  millrace explain\n  millrace explain -o wide")]
    Explain,
    /// Print a completion script for a shell.
    #[command(
        before_help = "Example:\n  millrace completion bash > ~/.local/share/bash-completion/completions/millrace"
    )]
    Completion {
        /// For which shell.
        shell: Shell,
    },
    /// Run one service as a process, configured by files, its environment and flags.
    #[command(hide = true)]
    Service {
        /// Which one.
        name: String,
        /// `--key=value` for any key of the configuration.
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        flags: Vec<String>,
    },
}

/// Parses the arguments, runs the command and gives its exit code.
pub fn main() -> ExitCode {
    millrace::contract::prepare();
    millrace::small_pages();
    let cli = Cli::parse();
    let done = match &cli.command {
        // A service is a process of its own, with its own runtime and signals.
        Command::Service { name, flags } => serve(name, flags),
        Command::Bench(args) => {
            bench::run(args, !matches!(cli.output, Format::Table | Format::Wide))
        }
        _ => run(cli),
    };
    done.unwrap_or_else(|error| failure::tell(&error))
}

fn serve(name: &str, flags: &[String]) -> anyhow::Result<ExitCode> {
    let unknown = || Failure::NotFound(format!("there is no service {name}"));
    let service = house::service(name).ok_or_else(unknown)?;
    let flag = |flag: &String| {
        let wrong = || Failure::Usage(format!("`{flag}` is not of the form --key=value"));
        let (key, value) =
            flag.strip_prefix("--").and_then(|flag| flag.split_once('=')).ok_or_else(wrong)?;
        Ok((key.to_owned(), value.to_owned()))
    };
    let flags = flags.iter().map(flag).collect::<Result<Vec<_>, Failure>>()?;
    Ok(millrace::main_with(service, config::load(&flags)))
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(dispatch(cli));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let output = Output::new(cli.output);
    let place = || place::find(cli.endpoints.as_deref());
    match cli.command {
        Command::Dev(args) => return dev::run(args, output).await,
        Command::Demo(args) => return demo::run(args, output).await,
        Command::Import(import) => import::run(import, &place, output).await?,
        Command::Order(order) => order::run(order, &place()?, output).await?,
        Command::Journal(command) => journal::run(command, &place, output).await?,
        Command::Dlq(dlq) => dlq::run(dlq, &place()?, output).await?,
        Command::Group(command) => group::run(command, &place()?, output).await?,
        Command::Operation(command) => operation::run(command, &place()?, output).await?,
        Command::Projection(command) => projection::run(command, &place()?, output).await?,
        Command::Load(command) => load::run(command, &place()?, output).await?,
        Command::Topic(topic) => topic::run(topic, &place()?, output).await?,
        Command::Schema(schema) => schema::run(schema, &place, output).await?,
        Command::Config(command) => config::run(&command, output)?,
        Command::Doctor => doctor::run(&place()?, output).await?,
        Command::Explain => explain::run(&place()?, output)?,
        Command::Completion { shell } => {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Cli::command(), "millrace", &mut script);
            output.text(String::from_utf8_lossy(&script).trim_end())?;
        }
        Command::Service { name, flags } => return serve(&name, &flags),
        Command::Bench(args) => return bench::run(&args, false),
    }
    Ok(ExitCode::SUCCESS)
}
