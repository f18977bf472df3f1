//! A parser for the JSON of the configuration: an object of lists of strings. A full parser would double the plugin.

/// The members of `{"name": ["text", …], …}`, in order.
///
/// # Errors
/// Any other JSON. The error names the expected token and the byte offset.
pub(crate) fn lists_of_strings(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut reader = Reader { text, at: 0 };
    let mut members = Vec::new();
    reader.token('{')?;
    if !reader.takes('}') {
        loop {
            let name = reader.string()?;
            reader.token(':')?;
            members.push((name, reader.strings()?));
            if !reader.takes(',') {
                break;
            }
        }
        reader.token('}')?;
    }
    reader.blanks();
    if reader.at == text.len() { Ok(members) } else { Err(reader.expected("the end")) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, what: &str) -> String {
        format!("byte {} of the configuration: {what} is expected", self.at)
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_ascii_start().len();
    }

    fn takes(&mut self, token: char) -> bool {
        self.blanks();
        let there = self.rest().starts_with(token);
        self.at += if there { token.len_utf8() } else { 0 };
        there
    }

    fn token(&mut self, token: char) -> Result<(), String> {
        if self.takes(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    fn next(&mut self) -> Result<char, String> {
        let next = self.rest().chars().next().ok_or_else(|| self.expected("`\"`"))?;
        self.at += next.len_utf8();
        Ok(next)
    }

    fn strings(&mut self) -> Result<Vec<String>, String> {
        let mut strings = Vec::new();
        self.token('[')?;
        if self.takes(']') {
            return Ok(strings);
        }
        loop {
            strings.push(self.string()?);
            if !self.takes(',') {
                break;
            }
        }
        self.token(']')?;
        Ok(strings)
    }

    fn string(&mut self) -> Result<String, String> {
        self.token('"')?;
        let mut string = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(string),
                '\\' => string.push(self.escaped()?),
                plain => string.push(plain),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        Ok(match self.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => self.unit_pair()?,
            plain => plain,
        })
    }

    /// Four hexadecimal digits, or two such groups for a surrogate pair.
    fn unit_pair(&mut self) -> Result<char, String> {
        let mut units = vec![self.unit()?];
        if self.rest().starts_with("\\u") && matches!(units.first(), Some(0xD800..0xDC00)) {
            self.at += 2;
            units.push(self.unit()?);
        }
        let mut decoded = char::decode_utf16(units);
        decoded.next().and_then(Result::ok).ok_or_else(|| self.expected("a character"))
    }

    fn unit(&mut self) -> Result<u16, String> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let unit = u16::from_str_radix(digits, 16);
        self.at += 4;
        unit.ok().ok_or_else(|| self.expected("a character"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_lists_are_parsed() {
        assert_eq!(lists_of_strings(" {} "), Ok(vec![]));
        let parsed = lists_of_strings(r#"{"a":[], "b" : ["x", "\u00e4\"\\\/\ud83d\ude00é"]}"#);
        let expected = [("a", vec![]), ("b", vec!["x", "ä\"\\/😀é"])];
        let expected = expected.map(|(name, list)| {
            (name.to_owned(), list.into_iter().map(str::to_owned).collect::<Vec<_>>())
        });
        assert_eq!(parsed, Ok(expected.to_vec()));
    }

    #[test]
    fn other_json_is_refused() {
        for invalid in [
            "",
            "{",
            "[]",
            "{}x",
            "{\"a\"}",
            "{\"a\":1}",
            "{\"a\":[1]}",
            "{\"a\":[\"x]}",
            "{\"a\":[],}",
            "{\"a\":[\"\\u12\"]}",
            "{\"a\":[\"\\ud800\"]}",
            "{\"a\":[\"\\u+123\"]}é",
        ] {
            assert!(lists_of_strings(invalid).is_err(), "{invalid}");
        }
    }
}
