//! Finds out which request a message answers of which nothing is kept.

use serde_json::value::RawValue;

/// The longest name or id that is looked at.
const TOKEN_BYTES: usize = 256;

/// Reads a message byte by byte, and remembers what it answers.
#[derive(Debug, Default)]
pub(super) struct Scan {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    /// The name or the value under way, of the message's own members.
    token: Vec<u8>,
    name: Vec<u8>,
    id: Option<Vec<u8>>,
    /// Whether it is a request, or names its id twice.
    is_no_answer: bool,
}

impl Scan {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.take(*byte);
        }
    }

    /// Gives the id of what it answers; none if it is no answer, or its id is in doubt.
    pub(super) fn answered(self) -> Option<Box<RawValue>> {
        let id = self.id.filter(|_| !self.is_no_answer && self.depth == 0)?;
        serde_json::from_slice(&id).ok()
    }

    fn take(&mut self, byte: u8) {
        if self.in_text {
            self.keep(byte);
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'{' | b'[' => {
                // The value of a member, which is no text and no number.
                self.keep(byte);
                self.depth += 1;
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_member();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => self.name = std::mem::take(&mut self.token),
            b',' if self.depth == 1 => self.end_member(),
            b' ' | b'\t' | b'\r' => {}
            _ => {
                self.in_text = byte == b'"';
                self.keep(byte);
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.token.len() < TOKEN_BYTES {
            self.token.push(byte);
        }
    }

    fn end_member(&mut self) {
        let value = std::mem::take(&mut self.token);
        match std::mem::take(&mut self.name).as_slice() {
            b"\"id\"" => self.is_no_answer |= self.id.replace(value).is_some(),
            b"\"method\"" => self.is_no_answer = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_answer_is_found_wherever_it_stands_and_no_other() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#, Some("7")),
            (
                r#"{"result":{"a":["id",{"id":8}],"b":"\"id\":9,}"}, "jsonrpc":"2.0", "id" : "a\"" }"#,
                Some(r#""a\"""#),
            ),
            (r#"{"id":1,"method":"m"}"#, None),
            (r#"{"id":1,"result":1,"id":2}"#, None),
            (r#"{"result":{"id":1}}"#, None),
            (r#"{"id":1,"result":"#, None),
            (r#"{"id":{"id":1},"result":1}"#, None),
            (r#"[{"id":1}]"#, None),
            ("", None),
        ] {
            for cut in 0..text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let mut scan = Scan::default();
                scan.read(first);
                scan.read(second);
                assert_eq!(scan.answered().as_deref().map(RawValue::get), id, "{text}");
            }
        }
    }
}
