//! Arguments of command lines that count a topic or write to it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use counter_cli::parse::positive_duration;

use crate::kafka::{ConsumerOptions, OutOfRange, UncountablePolicy};
use crate::mapping::{AmountSource, Mapping, NameSource};
use crate::producer::ProducerOptions;

/// Topic, and how its brokers are reached.
#[derive(Args, Clone, Debug)]
pub struct TopicArguments {
    /// Brokers, separated by commas.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Topic, which has to exist.
    #[arg(long, global = true)]
    pub topic: Option<String>,
    /// Setting of librdkafka, which can be given several times, or several separated by commas.
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// Topic, and how a member of a group counts it.
#[derive(Args, Clone, Debug)]
pub struct ConsumerArguments {
    /// The topic.
    #[command(flatten)]
    pub topic: TopicArguments,
    /// Consumer group, which distributes the partitions of the topic.
    #[arg(long, global = true)]
    pub group: Option<String>,
    /// Source of the name of a record's counter: key, value, or a field such as /user/id.
    #[arg(long, global = true, value_name = "SOURCE", default_value = "key")]
    pub name_from: NameSource,
    /// Source of a record's amount: the constant 1, value, or a field such as /bytes.
    #[arg(long, global = true, value_name = "SOURCE", default_value = "1")]
    pub amount_from: AmountSource,
    /// Topic for records that cannot be counted. Without it, they are skipped and counted as such.
    #[arg(long, global = true, value_name = "TOPIC")]
    pub dead_letters: Option<String>,
    /// Number to raise when the topic is counted anew, in empty directories: it keeps members with old ones apart.
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 0)]
    pub generation: u32,
    /// Goes on with the first record there is where the log no longer has the next one.
    #[arg(long, global = true)]
    pub skip_missing: bool,
    /// Time without a sign of life after which the group gives the partitions to others.
    #[arg(long, global = true, value_name = "DURATION", default_value = "6s", value_parser = positive_duration)]
    pub session_timeout: Duration,
}

/// Arguments that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// There has to be one.
    #[error("no {0}")]
    Missing(&'static str),
    /// A setting of librdkafka has no name.
    #[error("setting {0:?} of librdkafka without a name and an equals sign")]
    Setting(String),
}

impl TopicArguments {
    /// Returns the settings of a producer.
    ///
    /// # Errors
    /// [`ArgumentError`].
    pub fn producer(&self, max_names: NonZeroUsize) -> Result<ProducerOptions, ArgumentError> {
        let (brokers, topic) = self.required()?;
        Ok(ProducerOptions { brokers, topic, max_names, settings: self.settings()? })
    }

    fn required(&self) -> Result<(String, String), ArgumentError> {
        let brokers = self.brokers.clone().ok_or(ArgumentError::Missing("--brokers"))?;
        Ok((brokers, self.topic.clone().ok_or(ArgumentError::Missing("--topic"))?))
    }

    /// Returns the settings of librdkafka. What follows a comma and is no setting belongs to the value before it.
    fn settings(&self) -> Result<Vec<(String, String)>, ArgumentError> {
        let mut settings = Vec::<(String, String)>::new();
        for text in self.set.iter().flat_map(|text| text.split(',')) {
            match (text.split_once('='), settings.last_mut()) {
                (Some((name, value)), _) => settings.push((name.into(), value.into())),
                (None, Some((_, value))) => *value += &format!(",{text}"),
                (None, None) => return Err(ArgumentError::Setting(text.into())),
            }
        }
        Ok(settings)
    }
}

impl ConsumerArguments {
    /// Returns the settings of a member whose node has this directory.
    ///
    /// # Errors
    /// [`ArgumentError`].
    pub fn options(&self, directory: PathBuf) -> Result<ConsumerOptions, ArgumentError> {
        let (brokers, topic) = self.topic.required()?;
        let letters = self.dead_letters.clone();
        Ok(ConsumerOptions {
            brokers,
            topic,
            group: self.group.clone().ok_or(ArgumentError::Missing("--group"))?,
            mapping: Mapping { name: self.name_from.clone(), amount: self.amount_from.clone() },
            generation: self.generation,
            uncountable: letters.map_or(UncountablePolicy::Skip, UncountablePolicy::DeadLetter),
            missing: if self.skip_missing { OutOfRange::Skip } else { OutOfRange::Stop },
            session_timeout: self.session_timeout,
            directory,
            settings: self.topic.settings()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_given_one_by_one_or_as_a_list_and_may_have_commas() {
        let settings = |set: &[&str]| {
            let set = set.iter().map(|text| (*text).to_owned()).collect();
            TopicArguments { brokers: None, topic: None, set }.settings()
        };
        let pairs = |pairs: &[(&str, &str)]| {
            Ok(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(settings(&["a=1", "b=x=y"]), pairs(&[("a", "1"), ("b", "x=y")]));
        assert_eq!(settings(&["debug=cgrp,topic,a=1"]), pairs(&[("debug", "cgrp,topic"), ("a", "1")]));
        assert_eq!(settings(&["a"]), Err(ArgumentError::Setting("a".into())));
    }
}
