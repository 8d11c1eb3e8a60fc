//! Lines, and on a terminal a block below them that is drawn again and again in the same place.

use std::io::{self, Write};

/// Where to write.
#[derive(Debug)]
pub(crate) struct Screen<W> {
    out: W,
    terminal: bool,
    /// How many lines of the block stand there.
    drawn: usize,
}

/// Long lines are cut by the terminal, so that each takes one row.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// From here to the end.
const ERASE: &str = "\x1b[J";

impl<W: Write> Screen<W> {
    pub(crate) const fn new(out: W, terminal: bool) -> Self {
        Self { out, terminal, drawn: 0 }
    }

    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a line, which stays; the block below goes until it is drawn again.
    ///
    /// # Errors
    ///
    /// Nobody takes it.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        let clear = self.clear();
        writeln!(self.out, "{clear}{}", printable(line))?;
        self.out.flush()
    }

    /// Draws the block in the place of the one before; nothing, if this is no terminal.
    ///
    /// # Errors
    ///
    /// Nobody takes it.
    pub(crate) fn block(&mut self, lines: &[String]) -> io::Result<()> {
        if !self.terminal {
            return Ok(());
        }
        let mut text = self.clear();
        text += NO_WRAP;
        for line in lines {
            text += &printable(line);
            text.push('\n');
        }
        text += WRAP;
        self.drawn = lines.len();
        // In one piece, or it flickers.
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// What takes the block away.
    fn clear(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\r\x1b[{lines}A{ERASE}"),
        }
    }
}

/// Messages come from elsewhere: what would control the terminal doesn't get there.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(terminal: bool, write: impl FnOnce(&mut Screen<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut Screen::new(&mut out, terminal)).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn scene(screen: &mut Screen<&mut Vec<u8>>) -> io::Result<()> {
        screen.block(&["one".into(), "two".into()])?;
        screen.line("news")?;
        screen.block(&["three".into()])?;
        screen.block(&["four".into()])
    }

    #[test]
    fn the_block_stays_in_its_place() {
        let block = |text: &str| format!("{NO_WRAP}{text}\n{WRAP}");
        let up = |lines| format!("\r\x1b[{lines}A{ERASE}");
        let expected = [block("one\ntwo"), up(2), "news\n".into(), block("three"), up(1), block("four")].concat();
        assert_eq!(written(true, scene), expected);
    }

    #[test]
    fn without_terminal_there_are_lines_only() {
        assert_eq!(written(false, scene), "news\n");
    }

    #[test]
    fn messages_have_no_hold_on_the_terminal() {
        assert_eq!(written(true, |screen| screen.line("a\x1b[2Jb\nc\u{9b}d")), "a [2Jb c d\n");
    }
}
