//! Settings in TOML: a flat table of texts, numbers, switches, and lists of these.

use std::io;
use std::path::Path;

use toml::{Table, Value};

/// Error of [`read`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    /// The file is not TOML.
    #[error("no TOML, {0}")]
    Malformed(String),
    /// A setting is a table, a date, or a list of something like that.
    #[error("`{0}` is not a text, a number, true or false, or a list of these")]
    Type(String),
}

/// Reads the settings of a file. A list becomes a text with commas.
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>, FileError> {
    parse(&std::fs::read_to_string(path)?)
}

fn parse(text: &str) -> Result<Vec<(String, String)>, FileError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        FileError::Malformed(format!("line {line}: {}", error.message()))
    })?;
    let settings = table.into_iter().map(|(key, value)| match plain(&value) {
        Some(value) => Ok((key, value)),
        None => Err(FileError::Type(key)),
    });
    settings.collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        Value::Array(values) => {
            let texts = values.iter().map(|value| if value.is_array() { None } else { plain(value) });
            texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settings_are_texts_numbers_switches_and_lists() {
        let text = "resp = 'off' # not used\nmax-names = 7\nmemory = true\ninsecure = ['resp', 'http']\n";
        let mut settings = parse(text).unwrap();
        settings.sort();
        let expected = [("insecure", "resp,http"), ("max-names", "7"), ("memory", "true"), ("resp", "off")];
        assert_eq!(settings, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert!(error("memory = true\nresp = \n").starts_with("no TOML, line 2: "), "{}", error("a =\n"));
        assert!(error("[limits]\nnames = 7").starts_with("`limits` is not"));
        assert!(error("drain-deadline = 1.5").starts_with("`drain-deadline` is not"));
    }

    proptest! {
        #[test]
        fn garbage_is_settings_or_refused(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
