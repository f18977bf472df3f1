//! Helpers for texts. They are not inlined: inlined copies would make up a third of the plugin.

/// A text with parts replaced.
pub(crate) struct Edit<'a> {
    text: &'a str,
    out: String,
    /// Number of bytes of `text` that are already in `out`.
    pub(crate) done: usize,
}

impl<'a> Edit<'a> {
    pub(crate) fn new(text: &'a str) -> Edit<'a> {
        Edit { text, out: String::new(), done: 0 }
    }

    #[inline(never)]
    pub(crate) fn replace(&mut self, begin: usize, end: usize, with: &str) {
        self.out.push_str(part(self.text, self.done, begin));
        self.out.push_str(with);
        self.done = end;
    }

    /// The text before `at`, with what was replaced.
    pub(crate) fn before(&mut self, at: usize) -> &str {
        if self.done == 0 {
            return part(self.text, 0, at);
        }
        self.out.push_str(part(self.text, self.done, at));
        self.done = at;
        &self.out
    }

    /// None: nothing was replaced.
    #[inline(never)]
    pub(crate) fn finish(mut self) -> Option<String> {
        self.out.push_str(part(self.text, self.done, self.text.len()));
        (self.done > 0).then_some(self.out)
    }
}

/// A part of a text; empty if the range is invalid.
#[inline(never)]
pub(crate) fn part(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// The text after its first `from` bytes.
#[inline(never)]
pub(crate) fn tail(text: &str, from: usize) -> &str {
    text.get(from..).unwrap_or_default()
}

/// Offset of the first character for which `stops` is true, or the length of the text.
#[inline(never)]
pub(crate) fn until(text: &str, stops: fn(char) -> bool) -> usize {
    // Nearly all texts are ASCII, of which a byte is a character.
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if !byte.is_ascii() {
            let rest = tail(text, at);
            return at + rest.find(stops).unwrap_or(rest.len());
        }
        if stops(char::from(byte)) {
            return at;
        }
    }
    text.len()
}

/// End of the name at the start of the text. None: there is no name, or nothing follows it.
#[inline(never)]
pub(crate) fn name_end(text: &str) -> Option<usize> {
    let end = until(text, |c| !crate::names::is_name(c));
    (end > 0 && end < text.len()).then_some(end)
}
