//! `kiln`, the command: everything that it does is in `kiln::cli`.

fn main() -> std::process::ExitCode {
    kiln::cli::main()
}
