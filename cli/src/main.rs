//! The `millrace` command. Everything is in the library.

fn main() -> std::process::ExitCode {
    millrace_cli::main()
}
