//! Patterns of `SCAN` and `CONFIG GET`, as in Redis. Pure.

/// Returns true if a text matches a pattern with `*`, `?`, `[a-z]`, `[^a-z]` and `\` before a literal.
///
/// The time is at most proportional to the product of both lengths.
#[must_use]
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // Where to go on if what follows a star does not match: one byte further.
    let mut retry = None;
    loop {
        if let Some(behind) = rest.strip_prefix(b"*") {
            rest = behind;
            retry = Some((rest, left));
            continue;
        }
        let matched = match (rest.is_empty(), left.split_first()) {
            (true, None) => return true,
            (false, Some((byte, behind))) => element(rest, *byte).map(|rest| (rest, behind)),
            (true, Some(_)) | (false, None) => None,
        };
        (rest, left) = match (matched, retry) {
            (Some(next), _) => next,
            (None, Some((pattern, [_, text @ ..]))) => {
                retry = Some((pattern, text));
                (pattern, text)
            }
            (None, _) => return false,
        };
    }
}

/// Returns the pattern behind its first element, if a byte matches that.
fn element(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', b'^', set @ ..] => class(set, byte).and_then(|(is_in, rest)| (!is_in).then_some(rest)),
        [b'[', set @ ..] => class(set, byte).and_then(|(is_in, rest)| is_in.then_some(rest)),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// Returns whether a byte is in a set, and the pattern behind the set.
fn class(mut set: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let mut is_in = false;
    loop {
        set = match set {
            // A set that is not closed ends with the pattern.
            [] => return Some((is_in, set)),
            [b']', rest @ ..] => return Some((is_in, rest)),
            [b'\\', literal, rest @ ..] => {
                is_in |= *literal == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                is_in |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                is_in |= *literal == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            (r"h\*llo", "h*llo", true),
            (r"h\*llo", "hello", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("[a", "a", true),
            ("a*", "ba", false),
            ("user:*:hits", "user:17:hits", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_exponential_time() {
        let pattern = [&b"*a".repeat(200)[..], b"b"].concat();
        assert!(!matches(&pattern, &b"a".repeat(2000)));
    }
}
