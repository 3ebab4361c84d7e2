//! The decoders under seeded fire, without a nightly toolchain: a short run as a test, a long one by
//! `cargo test --release -p schemas --test fuzz -- --executions 10000000`. The work is done in a
//! child process with the stack of a worker thread, so that an abort is seen and its input told.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod mutate;
#[path = "../../../contract/fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a crate of its own for cargo-fuzz, a module here")]
mod targets;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use targets::{Inputs, TARGETS, Target, warm_up};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What one execution may hold at its peak, in bytes, beside its input.
const PEAK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What one execution may take, on a machine that has others to serve.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Stack of the runtime's worker threads.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Executions of the run that is a test.
const SHORT: u64 = 100_000;
/// The child says so often where it is.
const SAY_EVERY: u64 = 1_000;
const FAULTS_MAX: usize = 10;

/// What the command line says: `--executions`, `--seed`, `--target`, `--corpus`; the rest is for
/// the test runner, and for the child.
struct Orders {
    executions: u64,
    seed: u64,
    target: Option<String>,
    corpus: Option<String>,
    from: u64,
    to: Option<u64>,
}

/// What the executions of one target came to.
#[derive(Default)]
struct Tally {
    executions: u64,
    peak: usize,
    slowest: Duration,
    faults: Vec<String>,
}

/// What a child said.
struct Found {
    tally: String,
    faults: Vec<String>,
}

/// Faults that must be seen, or a run proves nothing.
const BROKEN: &[Target] = &[
    Target { name: "panics", run: |_| panic!("planted"), seeds: nothing, share: 0 },
    Target { name: "aborts", run: |_| std::process::abort(), seeds: nothing, share: 0 },
    Target { name: "overflows", run: |_| assert!(deep(u64::MAX) > 0), seeds: nothing, share: 0 },
    Target { name: "swells", run: |_| drop(vec![1; PEAK_BYTES_MAX + 1]), seeds: nothing, share: 0 },
];

fn main() -> ExitCode {
    let orders = Orders::read();
    if let Some(folder) = &orders.corpus {
        write_corpus(Path::new(folder));
        return ExitCode::SUCCESS;
    }
    if let Some(to) = orders.to {
        return child(&orders, to);
    }
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let blind: Vec<_> = BROKEN.iter().filter(|target| hunt(&orders, target, 10).held()).collect();
    let mut failed = !blind.is_empty();
    blind
        .iter()
        .for_each(|target| println!("{:<10} FAULT a planted fault was not seen", target.name));
    let chosen = TARGETS.iter().filter(|it| orders.target.as_ref().is_none_or(|t| t == it.name));
    for target in chosen {
        let executions = match orders.target {
            Some(_) => orders.executions,
            None => orders.executions * target.share / 1000,
        };
        let (begun, found) = (Instant::now(), hunt(&orders, target, executions));
        println!("{:<10} {} in {:.1?}", target.name, found.tally, begun.elapsed());
        found.faults.iter().for_each(|fault| println!("{:<10} FAULT {fault}", target.name));
        failed |= !found.held();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Orders {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let number = |name: &str| value(name).map(|text| text.parse().unwrap());
        Self {
            executions: number("--executions").unwrap_or(SHORT),
            seed: number("--seed").unwrap_or(1),
            target: value("--target"),
            corpus: value("--corpus"),
            from: number("--from").unwrap_or(0),
            to: number("--to"),
        }
    }
}

/// Runs one target in a child.
fn hunt(orders: &Orders, target: &Target, executions: u64) -> Found {
    let (ended, last, said) = spawn(orders, target, 0, executions, SAY_EVERY);
    let (tallies, mut faults): (Vec<_>, Vec<_>) =
        said.into_iter().partition(|line| line.starts_with("held "));
    if !ended {
        // The inputs follow from their numbers: the one that ended the child is found again.
        let (_, number, _) = spawn(orders, target, last, executions, 1);
        let input = mutate::input(&corpus(target), orders.seed, number);
        faults.push(format!("the process ended at {}", describe(number, &input)));
    }
    Found { tally: tallies.concat(), faults }
}

impl Found {
    fn held(&self) -> bool {
        self.faults.is_empty() && !self.tally.is_empty()
    }
}

/// Whether the child came to its end, the last number it said, and what else it said.
fn spawn(
    orders: &Orders,
    target: &Target,
    from: u64,
    to: u64,
    say: u64,
) -> (bool, u64, Vec<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--target", target.name, "--seed", &orders.seed.to_string()])
        .args(["--from", &from.to_string(), "--to", &to.to_string()])
        .args(["--executions", &say.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut last, mut said) = (from, vec![]);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        match line.unwrap() {
            line if line.starts_with("at ") => last = line[3..].parse().unwrap(),
            line => said.push(line),
        }
    }
    (child.wait().unwrap().success(), last, said)
}

/// The child: here `--executions` is how often it says where it is.
fn child(orders: &Orders, to: u64) -> ExitCode {
    let named = |it: &&Target| Some(it.name) == orders.target.as_deref();
    let target = TARGETS.iter().chain(BROKEN).find(named).unwrap();
    let (from, seed, say) = (orders.from, orders.seed, orders.executions);
    let work = move || {
        let tally = execute(target, seed, from..to, say);
        tally.faults.iter().for_each(|fault| println!("{fault}"));
        let peak = tally.peak as f64 / 1024.0;
        let (executions, slowest) = (tally.executions, tally.slowest);
        println!("held {executions} executions, peak {peak:.0} KiB, slowest {slowest:.1?}");
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap();
    ExitCode::SUCCESS
}

fn execute(target: &'static Target, seed: u64, numbers: std::ops::Range<u64>, say: u64) -> Tally {
    warm_up();
    std::panic::set_hook(Box::new(|_| {}));
    let corpus = corpus(target);
    let mut tally = Tally::default();
    for number in numbers {
        if number % say == 0 {
            println!("at {number}");
            std::io::stdout().flush().unwrap();
        }
        let input = mutate::input(&corpus, seed, number);
        MEMORY.reset_peak_usage();
        let (before, begun) = (MEMORY.current_usage(), Instant::now());
        let outcome = std::panic::catch_unwind(|| (target.run)(&input));
        let (took, peak) = (begun.elapsed(), MEMORY.peak_usage() - before);
        tally.executions += 1;
        tally.peak = tally.peak.max(peak);
        tally.slowest = tally.slowest.max(took);
        let fault = match outcome {
            Err(panic) => Some(format!("panic {:?}", text(&*panic))),
            Ok(()) if peak > PEAK_BYTES_MAX => Some(format!("peak of {peak} bytes")),
            Ok(()) if took > TIME_MAX => Some(format!("took {took:?}")),
            Ok(()) => None,
        };
        tally.faults.extend(fault.map(|fault| format!("{fault} at {}", describe(number, &input))));
        if tally.faults.len() >= FAULTS_MAX {
            break;
        }
    }
    tally
}

fn text(panic: &dyn std::any::Any) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    fixed.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn describe(number: u64, input: &[u8]) -> String {
    let head = &input[..input.len().min(200)];
    format!("execution {number}, {} bytes: {}", input.len(), head.escape_ascii())
}

fn corpus(target: &Target) -> Inputs {
    (target.seeds)(&golden())
}

/// The golden data of every event, in the order of the events.
fn golden() -> Vec<Inputs> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    let data = |event: &schemas::EventInfo| {
        let name = event.name.rsplit('.').next().unwrap();
        let stem = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let own = files.iter().filter(|path| stem(path).split('.').next() == Some(name));
        own.map(|path| datum(path)).collect()
    };
    schemas::EVENTS.iter().map(data).collect()
}

fn datum(path: &Path) -> Vec<u8> {
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let hex = file["hex"].as_str().unwrap();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn nothing(_: &[Inputs]) -> Inputs {
    vec![vec![]]
}

/// Deeper than any stack.
fn deep(depth: u64) -> u64 {
    std::hint::black_box(if depth == 0 { 0 } else { deep(depth - 1) + 1 })
}

/// Writes the seeds of every target as files, for a fuzzer that begins with a corpus. The folder is
/// seen from the root of the repository.
fn write_corpus(folder: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in corpus(target).into_iter().enumerate() {
            std::fs::write(folder.join(number.to_string()), seed).unwrap();
        }
    }
}
