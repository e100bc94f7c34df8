//! Decodes lines of StatsD and DogStatsD: `name:value|c`, with a sample rate, tags and several values. Pure.

use std::ops::Range;

use super::amount::{Amount, Decimal, SampleRate};

/// Types of StatsD and DogStatsD that are no counts: gauges, timings, histograms, distributions, sets and meters.
const OTHER_TYPES: [&[u8]; 6] = [b"g", b"ms", b"h", b"d", b"s", b"m"];

/// Separator of a name and its tags.
const TAGS: &[u8] = b"|#";

/// Decodes lines, with memory that it reuses.
#[derive(Debug, Default)]
pub struct Decoder {
    amounts: Vec<Amount>,
    /// Tags, as ranges of the line.
    tags: Vec<Range<usize>>,
    /// Name with tags.
    tagged: Vec<u8>,
}

/// Line that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// Name of the counter. Tags, if there are any, are part of it: in order, each once, as in `hits|#code:200,eu`.
    pub name: &'a [u8],
    /// Amounts to add to the counter, one by one.
    pub amounts: &'a [Amount],
}

/// Line that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line is a gauge, a timing or another type of metric, an event or a service check.
    #[error("type of metric is not a count")]
    OtherType,
    /// The line is not StatsD.
    #[error("malformed line")]
    Malformed,
    /// The amount is outside of 64 bits.
    #[error("amount out of range")]
    OutOfRange,
}

impl Decoder {
    /// Decodes a line without its newline.
    ///
    /// Several values (`a:1:2|c`) are several operations. Fields that are neither a rate nor tags, such as the
    /// container of a client, are ignored.
    ///
    /// # Errors
    /// [`LineError`], also if it is only one of several values that is wrong.
    pub fn decode<'a>(&'a mut self, line: &'a [u8]) -> Result<Counted<'a>, LineError> {
        if line.starts_with(b"_e{") || line.starts_with(b"_sc|") {
            return Err(LineError::OtherType);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut fields = line.split(|byte| *byte == b'|');
        let mut values = fields.next().unwrap_or_default().split(|byte| *byte == b':');
        let name = values.next().filter(|name| !name.is_empty()).ok_or(LineError::Malformed)?;
        match fields.next() {
            Some(b"c") => {}
            Some(other) if OTHER_TYPES.contains(&other) => return Err(LineError::OtherType),
            Some(_) | None => return Err(LineError::Malformed),
        }
        let (mut rate, mut tags) = (None, None);
        self.tags.clear();
        let mut position = line.len() - fields.clone().map(|field| field.len() + 1).sum::<usize>();
        for field in fields {
            position += 1;
            match field {
                [b'@', text @ ..] if rate.is_none() => {
                    rate = Some(SampleRate::parse(text).ok_or(LineError::Malformed)?);
                }
                [b'#', ..] if tags.is_none() => tags = Some(position + 1..position + field.len()),
                [b'@' | b'#', ..] => return Err(LineError::Malformed),
                _ => {}
            }
            position += field.len();
        }
        self.take_amounts(values, rate.unwrap_or(SampleRate::ALL))?;
        let has_tags = tags.is_some_and(|range| self.tag(name, line, range));
        Ok(Counted { name: if has_tags { &self.tagged } else { name }, amounts: &self.amounts })
    }

    fn take_amounts<'a>(
        &mut self,
        values: impl Iterator<Item = &'a [u8]>,
        rate: SampleRate,
    ) -> Result<(), LineError> {
        self.amounts.clear();
        for value in values {
            let value = Decimal::parse(value).ok_or(LineError::Malformed)?;
            self.amounts.push(value.at_rate(rate).ok_or(LineError::OutOfRange)?);
        }
        if self.amounts.is_empty() { Err(LineError::Malformed) } else { Ok(()) }
    }

    /// Joins the name and the tags that are in this range of the line, sorted. Returns false if there are none.
    fn tag(&mut self, name: &[u8], line: &[u8], range: Range<usize>) -> bool {
        let mut start = range.start;
        for tag in line[range].split(|byte| *byte == b',') {
            if !tag.is_empty() {
                self.tags.push(start..start + tag.len());
            }
            start += tag.len() + 1;
        }
        self.tags.sort_unstable_by_key(|tag| &line[tag.clone()]);
        self.tags.dedup_by_key(|tag| &line[tag.clone()]);
        self.tagged.clear();
        self.tagged.extend_from_slice(name);
        let mut separator = TAGS;
        for tag in &self.tags {
            self.tagged.extend_from_slice(separator);
            self.tagged.extend_from_slice(&line[tag.clone()]);
            separator = b",";
        }
        !self.tags.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes a line, with amounts rounded down.
    fn decode(line: &[u8]) -> Result<(String, Vec<i64>), LineError> {
        let mut decoder = Decoder::default();
        let Counted { name, amounts } = decoder.decode(line)?;
        let amounts = amounts.iter().filter_map(|amount| amount.round(u32::MAX)).collect();
        Ok((String::from_utf8_lossy(name).into_owned(), amounts))
    }

    fn counted(name: &str, amounts: &[i64]) -> Result<(String, Vec<i64>), LineError> {
        Ok((name.to_owned(), amounts.to_vec()))
    }

    #[test]
    fn counts_have_rates_values_and_tags() {
        assert_eq!(decode(b"hits:1|c"), counted("hits", &[1]));
        assert_eq!(decode(b"a.b c/d:-3|c\r"), counted("a.b c/d", &[-3]));
        assert_eq!(decode(b"hits:1|c|@0.1"), counted("hits", &[10]));
        assert_eq!(decode(b"hits:1:2:-3|c|@0.5"), counted("hits", &[2, 4, -6]));
        assert_eq!(decode(b"hits:1|c|#b:2,a"), counted("hits|#a,b:2", &[1]));
        assert_eq!(decode(b"hits:1|c|#a|@0.5|c:0af|T1700000000|e:x"), counted("hits|#a", &[2]));
        assert_eq!(decode(b"hits:1|c|c:0af|@0.5|#b,a"), counted("hits|#a,b", &[2]));
    }

    #[test]
    fn the_order_and_the_repetition_of_tags_do_not_matter() {
        for tags in ["x:1,y:2", "y:2,x:1", "y:2,x:1,y:2", ",,x:1,,y:2,"] {
            assert_eq!(
                decode(format!("hits:1|c|#{tags}").as_bytes()),
                counted("hits|#x:1,y:2", &[1]),
                "{tags}"
            );
        }
        assert_eq!(decode(b"hits:1|c|#"), counted("hits", &[1]));
        assert_eq!(decode(b"hits:1|c|#,"), counted("hits", &[1]));
    }

    #[test]
    fn other_types_are_told_from_garbage() {
        for line in [
            "a:1|g",
            "a:+1|g",
            "a:3|ms",
            "a:1|h|@0.1",
            "a:x|s",
            "a:1|d|#b",
            "a:1|m",
            "_e{1,1}:a|b",
            "_sc|a|0",
        ] {
            assert_eq!(decode(line.as_bytes()), Err(LineError::OtherType), "{line}");
        }
        for line in [
            "",
            "a",
            ":",
            ":1|c",
            "a:|c",
            "a|c",
            "a:1",
            "a:1|",
            "a:1|x",
            "a:1|C",
            "a:x|c",
            "a:1:x|c",
            "a:1|c|@0",
            "a:1|c|@2",
            "a:1|c|@",
            "a:1|c|@0.5|@0.5",
            "a:1|c|#a|#b",
            "a:1|c:2|c",
            "a:1,5|c",
            "a:nan|c",
        ] {
            assert_eq!(decode(line.as_bytes()), Err(LineError::Malformed), "{line}");
        }
        assert_eq!(decode(b"a:9223372036854775808|c"), Err(LineError::OutOfRange));
        assert_eq!(decode(b"a:1:9223372036854775807|c|@0.5"), Err(LineError::OutOfRange));
    }

    proptest! {
        #[test]
        fn a_decoder_has_no_memory_of_earlier_lines(lines in prop::collection::vec("[a-c:|@#,.0-2]{0,16}", 0..9)) {
            let mut decoder = Decoder::default();
            for line in &lines {
                let again = decoder.decode(line.as_bytes()).map(|counted| {
                    let amounts = counted.amounts.iter().filter_map(|amount| amount.round(u32::MAX)).collect();
                    (String::from_utf8_lossy(counted.name).into_owned(), amounts)
                });
                prop_assert_eq!(again, decode(line.as_bytes()));
            }
        }

        #[test]
        fn names_with_different_tags_are_different(
            a in "[ab#]{1,3}", tags in prop::collection::btree_set("[ab:#]{1,2}", 0..4),
            b in "[ab#]{1,3}", others in prop::collection::btree_set("[ab:#]{1,2}", 0..4),
        ) {
            let name = |name: &str, tags: &std::collections::BTreeSet<String>| {
                let tags: Vec<_> = tags.iter().rev().map(String::as_str).collect();
                decode(format!("{name}:1|c|#{}", tags.join(",")).as_bytes())
            };
            prop_assert_eq!(name(&a, &tags) == name(&b, &others), (a, tags) == (b, others));
        }

        #[test]
        fn garbage_is_counted_or_refused(line: Vec<u8>) {
            let _ = decode(&line);
        }
    }
}
