use proptest::prelude::*;

use super::*;
use crate::record::Stamp;

fn mapping(name: &str, amount: &str) -> Mapping {
    Mapping { name: name.parse().unwrap(), amount: amount.parse().unwrap() }
}

fn count(mapping: &Mapping, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(Vec<u8>, i64), Uncountable> {
    match mapping.content(RawRecord { key, value }, Annotations::default())? {
        Content::Count { name, amount, operations: 1, stamp: None } => Ok((name.into_owned(), amount)),
        content => panic!("{content:?}"),
    }
}

fn counted(name: &str, amount: i64) -> Result<(Vec<u8>, i64), Uncountable> {
    Ok((name.into(), amount))
}

#[test]
fn name_and_amount_come_from_where_the_mapping_says() {
    let (key, value) = (Some(&b"k"[..]), Some(&b"7"[..]));
    assert_eq!(count(&mapping("key", "1"), key, value), counted("k", 1));
    assert_eq!(count(&mapping("key", "value"), key, value), counted("k", 7));
    assert_eq!(count(&mapping("value", "1"), key, value), counted("7", 1));
    let document = Some(&br#"{"user":{"id":"u","a/b":3,"~":true},"bytes":-4}"#[..]);
    assert_eq!(count(&mapping("/user/id", "/bytes"), None, document), counted("u", -4));
    assert_eq!(count(&mapping("/user/a~1b", "1"), None, document), counted("3", 1));
    assert_eq!(count(&mapping("/user/~0", "1"), None, document), counted("true", 1));
    assert_eq!(count(&mapping("key", "/bytes"), key, document), counted("k", -4));
}

#[test]
fn what_a_mapping_does_not_mention_may_be_anything_or_missing() {
    assert_eq!(count(&mapping("key", "1"), Some(b"k"), None), counted("k", 1), "a tombstone");
    assert_eq!(count(&mapping("key", "1"), Some(b""), Some(b"{")), counted("", 1), "an empty key is a key");
    assert_eq!(count(&mapping("value", "1"), None, Some(b"\xff")).unwrap().0, b"\xff");
}

#[test]
fn what_cannot_be_counted_says_why() {
    let id: Pointer = "/id".parse().unwrap();
    let by_id = |value: &str| count(&mapping("/id", "1"), None, Some(value.as_bytes()));
    assert_eq!(count(&mapping("key", "1"), None, Some(b"7")), Err(Uncountable::NoKey));
    assert_eq!(count(&mapping("key", "value"), Some(b"k"), None), Err(Uncountable::NoValue));
    assert_eq!(count(&mapping("/id", "1"), Some(b"k"), None), Err(Uncountable::NoValue));
    for invalid in ["", "{", "\"\u{0}\"", "{\"id\":1}x", &"[".repeat(200)] {
        assert!(matches!(by_id(invalid), Err(Uncountable::InvalidJson(_))), "{invalid}");
    }
    for missing in ["{}", "3", "[1]", r#"{"ID":1}"#] {
        assert_eq!(by_id(missing), Err(Uncountable::NoField(id.clone())), "{missing}");
    }
    for other in ["null", "1.0", "1e3", "[1]", "{}", "18446744073709551616"] {
        let refused = Err(Uncountable::NotAName(id.clone()));
        assert_eq!(by_id(&format!("{{\"id\":{other}}}")), refused, "{other}");
    }
    let len_bytes = CounterName::MAX_BYTES + 1;
    let too_long = count(&mapping("key", "1"), Some(&vec![b'x'; len_bytes]), None);
    assert_eq!(too_long, Err(Uncountable::NameTooLong { len_bytes }));
}

#[test]
fn an_amount_is_an_integer_of_64_bits_and_nothing_else() {
    for refused in ["", " 1", "1.0", "9223372036854775808", "0x1", "\"1\"", "null"] {
        let plain = count(&mapping("key", "value"), Some(b"k"), Some(refused.as_bytes()));
        assert_eq!(plain, Err(Uncountable::NotAnAmount), "{refused}");
    }
    for refused in ["1.0", "9223372036854775808", "\"1\"", "null", "true"] {
        let document = format!("{{\"n\":{refused}}}");
        let field = count(&mapping("key", "/n"), Some(b"k"), Some(document.as_bytes()));
        assert_eq!(field, Err(Uncountable::NotAnAmount), "{refused}");
    }
    let least = i64::MIN.to_string();
    assert_eq!(count(&mapping("key", "value"), Some(b"k"), Some(least.as_bytes())), counted("k", i64::MIN));
}

#[test]
fn a_fingerprint_is_of_all_that_decides_what_records_count() {
    let fingerprints = [
        mapping("key", "1").fingerprint(0),
        mapping("key", "1").fingerprint(1),
        mapping("value", "1").fingerprint(0),
        mapping("key", "value").fingerprint(0),
        mapping("/key", "1").fingerprint(0),
        mapping("key", "/value").fingerprint(0),
    ];
    for (index, fingerprint) in fingerprints.iter().enumerate() {
        assert!(!fingerprints[..index].contains(fingerprint));
    }
    // It is on disk, and so must not change by itself.
    assert_eq!(mapping("key", "1").fingerprint(0), 14_377_885_955_114_620_679);
}

#[test]
fn sources_are_written_as_they_are_parsed_and_others_are_refused() {
    for text in ["key", "value", "/user/id", "/", "/~0~1"] {
        assert_eq!(text.parse::<NameSource>().unwrap().to_string(), text);
    }
    for text in ["1", "value", "/bytes"] {
        assert_eq!(text.parse::<AmountSource>().unwrap().to_string(), text);
    }
    for text in ["", "1", "user/id", "Key", "/~", "/~2"] {
        assert!(text.parse::<NameSource>().is_err(), "{text}");
    }
    assert!("key".parse::<AmountSource>().is_err());
}

#[test]
fn malformed_headers_are_refused_and_foreign_ones_ignored() {
    let read = |headers: &[(&'static str, &'static str)]| {
        Annotations::read(headers.iter().map(|(name, value)| (*name, Some(value.as_bytes()))))
    };
    assert_eq!(read(&[("traceparent", "00-")]), Ok(Annotations::default()));
    assert_eq!(read(&[("counter-operations", "9")]), Ok(Annotations { operations: 9, stamp: None }));
    for value in ["0", "", "-1", "+1", "x", "9223372036854775808"] {
        let refused = Err(MalformedHeader::Value("counter-operations"));
        assert_eq!(read(&[("counter-operations", value)]), refused, "{value}");
    }
    let repeated = Err(MalformedHeader::Repeated("counter-base"));
    assert_eq!(read(&[("counter-base", "1"), ("counter-base", "1")]), repeated);
    assert_eq!(read(&[("counter-sequence", "1"), ("counter-base", "1")]), Err(MalformedHeader::Incomplete));
    let id = Err(MalformedHeader::Value("counter-producer"));
    assert_eq!(read(&[("counter-producer", "+1234567890123456789012345678901")]), id);
    assert_eq!(Annotations::read([("counter-producer", None)].into_iter()), id);
}

proptest! {
    #[test]
    fn headers_say_what_they_were_written_for(
        operations in 1..=i64::MAX.unsigned_abs(), producer: [u8; 16], sequence: u64, base: u64, stamped: bool,
    ) {
        let stamp = stamped.then_some(Stamp { producer, sequence, base });
        let annotations = Annotations { operations, stamp };
        let headers = annotations.headers();
        let read = headers.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
        prop_assert_eq!(Annotations::read(read), Ok(annotations));
    }

    #[test]
    fn any_record_is_counted_or_refused(key: Option<Vec<u8>>, value: Option<Vec<u8>>, by_field: bool) {
        let mapping = if by_field { mapping("/a", "/b") } else { mapping("key", "value") };
        let raw = RawRecord { key: key.as_deref(), value: value.as_deref() };
        let _ = mapping.content(raw, Annotations::default());
    }
}
