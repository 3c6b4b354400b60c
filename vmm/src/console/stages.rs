//! Which steps of a boot show on the console. A guest may print what it likes: this only feeds the timeline.

use crate::protocol::Stage;

/// What kernels and init programs print when the first process runs, a quiet one included.
const INIT_MARKS: [&str; 5] = [
    " as init process",
    "Loading, please wait",
    "systemd[1]: ",
    "Welcome to ",
    "INIT: version ",
];
const LOGIN_MARK: &str = "login: ";
/// The most of a line that is looked at.
const LINE_MAX: usize = 200;

/// Watches one boot.
#[derive(Default)]
pub struct StageWatch {
    line: Vec<u8>,
    init: bool,
    login: bool,
}

impl StageWatch {
    /// Looks at `bytes` and names each stage that they show for the first time.
    pub fn watch(&mut self, bytes: &[u8], mut reached: impl FnMut(Stage)) {
        for &byte in bytes {
            if self.login {
                return;
            }
            match byte {
                b'\n' | b'\r' => self.line.clear(),
                _ if self.line.len() < LINE_MAX => self.line.push(byte),
                _ => continue,
            }
            self.look(&mut reached);
        }
    }

    fn look(&mut self, reached: &mut impl FnMut(Stage)) {
        self.login = self.line.ends_with(LOGIN_MARK.as_bytes());
        let init = || INIT_MARKS.iter().any(|mark| self.line.ends_with(mark.as_bytes()));
        if !self.init && (self.login || init()) {
            self.init = true;
            reached(Stage::Init);
        }
        if self.login {
            self.line = Vec::new();
            reached(Stage::Login);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(chunks: &[&str]) -> Vec<Stage> {
        let (mut watch, mut seen) = (StageWatch::default(), Vec::new());
        chunks
            .iter()
            .for_each(|chunk| watch.watch(chunk.as_bytes(), |stage| seen.push(stage)));
        seen
    }

    #[test]
    fn each_stage_is_named_once_even_when_its_mark_comes_in_pieces() {
        let boot = [
            "[ 0.5] Run /init as in",
            "it process\r\n",
            "Welcome to Debian!\r\n",
            "debian lo",
            "gin: login: ",
        ];
        assert_eq!(stages(&boot), [Stage::Init, Stage::Login]);
        assert_eq!(stages(&["nothing of the kind\n"]), []);
    }

    #[test]
    fn a_login_prompt_alone_means_that_init_runs() {
        assert_eq!(stages(&["\r\nx login: "]), [Stage::Init, Stage::Login]);
    }
}
