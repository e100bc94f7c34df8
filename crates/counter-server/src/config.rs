//! Settings of the server: flags override `COUNTER_*` variables, which override a TOML file.
//!
//! A setting has one definition, its flag. What a variable or the file says is given to the parser of flags as if it
//! had been a flag, where there is none.

mod file;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use crate::cli::Cli;

/// Prefix of variables. The rest of the name is that of the flag, in capitals and with underscores.
const PREFIX: &str = "COUNTER_";

/// Flags that have no meaning in a file.
const FLAGS_ONLY: [&str; 3] = ["help", "version", "config"];

/// Settings that come from one place together: a flag `--data` overrides a variable `COUNTER_MEMORY`, and so on.
const TOGETHER: [(&str, &str); 3] = [("data", "memory"), ("memory", "data"), ("memory", "durability")];

/// Error of settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Flags, or flags and other settings together, that cannot be used. Also a request for help.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// The file cannot be read or is no TOML.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Reason.
        #[source]
        source: file::FileError,
    },
    /// The file has a setting that there is not.
    #[error("{}: unknown setting `{key}`", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Name of the setting.
        key: String,
    },
    /// A setting has a value that it cannot have.
    #[error("{origin}: {message}")]
    Value {
        /// Origin of the value.
        origin: Origin,
        /// Reason.
        message: String,
    },
}

/// Origin of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Variable(String),
    File(PathBuf, String),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, key) => write!(f, "{key} in {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Settings, and where each comes from.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) cli: Cli,
    pub(crate) settings: Vec<Setting>,
}

/// A setting as it was given.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl Config {
    /// Reads settings from arguments, the first of which is the name of the program, variables and the file that these
    /// name.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn read(
        mut arguments: Vec<OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let command = Cli::command();
        let flags = command.clone().try_get_matches_from(&arguments)?;
        let path = flags.get_one::<PathBuf>("config").cloned();
        let path = path.or_else(|| variable(&format!("{PREFIX}CONFIG")).map(PathBuf::from));
        let mut layers = Layers { flags: &flags, variable, file: None };
        if let Some(path) = path {
            let table =
                file::read(&path).map_err(|source| ConfigError::File { path: path.clone(), source })?;
            let is_known = |key: &str| names(&command).any(|(name, _)| name == key);
            if let Some((key, _)) = table.iter().find(|(key, _)| !is_known(key)) {
                return Err(ConfigError::Unknown { path, key: key.clone() });
            }
            layers.file = Some((path, table));
        }
        let mut settings = Vec::new();
        for (name, is_switch) in names(&command) {
            let Some((value, origin)) = layers.find(&name) else { continue };
            if let Some(argument) = argument(&name, is_switch, &value, &origin)? {
                check(&command, &argument, &origin)?;
                arguments.insert(1, argument);
            }
            settings.push(Setting { name, value: value.display().to_string(), origin });
        }
        let matches = command.clone().try_get_matches_from(&arguments)?;
        let cli = Cli::from_arg_matches(&matches)?;
        for (name, _) in names(&command) {
            if settings.iter().all(|setting| setting.name != name) {
                settings.extend(Setting::of_flag(&matches, name));
            }
        }
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { cli, settings })
    }
}

impl Setting {
    /// Returns a setting that comes from a flag or is a default.
    fn of_flag(matches: &ArgMatches, name: String) -> Option<Self> {
        let id = name.replace('-', "_");
        let origin = match matches.value_source(&id)? {
            ValueSource::DefaultValue => Origin::Default,
            _ => Origin::Flag,
        };
        let value: Vec<_> = match matches.try_get_raw(&id).ok().flatten() {
            Some(values) => values.map(|value| value.to_string_lossy()).collect(),
            None => Vec::new(),
        };
        Some(Self { name, value: value.join(","), origin })
    }
}

/// Names of the settings, and whether each is a switch.
fn names(command: &clap::Command) -> impl Iterator<Item = (String, bool)> {
    let flags = command.get_arguments().filter_map(|flag| {
        Some((flag.get_long()?.to_owned(), matches!(flag.get_action(), ArgAction::SetTrue)))
    });
    flags.filter(|(name, _)| !FLAGS_ONLY.contains(&name.as_str()))
}

/// Places of settings, the last one below the others.
struct Layers<'a, V> {
    flags: &'a ArgMatches,
    variable: V,
    file: Option<(PathBuf, Vec<(String, String)>)>,
}

impl<V: Fn(&str) -> Option<OsString>> Layers<'_, V> {
    /// Returns the value of a setting that no flag overrides.
    fn find(&self, name: &str) -> Option<(OsString, Origin)> {
        let others = || TOGETHER.iter().filter(|(_, other)| *other == name).map(|(with, _)| *with);
        if self.is_flag(name) || others().any(|with| self.is_flag(with)) {
            return None;
        }
        let name_of_variable = variable(name);
        if let Some(value) = (self.variable)(&name_of_variable) {
            return Some((value, Origin::Variable(name_of_variable)));
        }
        if others().any(|with| (self.variable)(&variable(with)).is_some()) {
            return None;
        }
        let (path, table) = self.file.as_ref()?;
        let (key, value) = table.iter().find(|(key, _)| key == name)?;
        Some((value.into(), Origin::File(path.clone(), key.clone())))
    }

    fn is_flag(&self, name: &str) -> bool {
        self.flags.value_source(&name.replace('-', "_")) == Some(ValueSource::CommandLine)
    }
}

/// Returns the variable of a setting.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('-', "_").to_uppercase())
}

/// Returns a setting as a flag. `None` for a switch that is off.
fn argument(
    name: &str,
    is_switch: bool,
    value: &OsStr,
    origin: &Origin,
) -> Result<Option<OsString>, ConfigError> {
    let mut flag = OsString::from(format!("--{name}"));
    match (is_switch, value.to_str()) {
        (false, _) => {
            flag.push("=");
            flag.push(value);
        }
        (true, Some("true")) => {}
        (true, Some("false")) => return Ok(None),
        (true, _) => {
            let message = format!("expected true or false, not `{}`", value.display());
            return Err(ConfigError::Value { origin: origin.clone(), message });
        }
    }
    Ok(Some(flag))
}

/// Checks a setting by itself, so that an error can name its origin.
fn check(command: &clap::Command, argument: &OsString, origin: &Origin) -> Result<(), ConfigError> {
    let program = OsString::from(command.get_name());
    let checked = command.clone().try_get_matches_from([&program, argument]);
    checked.map(drop).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let message = line.strip_prefix("error: ").unwrap_or(line).to_owned();
        ConfigError::Value { origin: origin.clone(), message }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads settings from flags, variables and the text of a file.
    fn read(flags: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().expect("there is a place for files");
        let path = dir.path().join("counter.toml");
        fs::write(&path, file).expect("there is space");
        let mut arguments = vec!["counter-server".into(), "--config".into(), path.clone().into()];
        arguments.extend(flags.iter().map(OsString::from));
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        Config::read(arguments, variable)
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    fn data(config: &Config) -> &str {
        config.cli.data.to_str().expect("it is text")
    }

    #[test]
    fn flags_override_variables_which_override_the_file() {
        let variables = [("COUNTER_DATA", "variable"), ("COUNTER_MAX_NAMES", "7")];
        let file = "data = 'file'\nmax-names = 8\nmax-pipeline = 9";
        let config = read(&["--data", "flag"], &variables, file).unwrap();
        assert_eq!(data(&config), "flag");
        assert_eq!(config.cli.max_names.map(usize::from), Some(7));
        assert_eq!(config.cli.max_pipeline.get(), 9);
        let origin = |name: &str| {
            let setting = config.settings.iter().find(|setting| setting.name == name);
            setting.map(|setting| (setting.value.as_str(), setting.origin.clone()))
        };
        assert_eq!(origin("data"), Some(("flag", Origin::Flag)));
        assert_eq!(origin("max-names"), Some(("7", Origin::Variable("COUNTER_MAX_NAMES".into()))));
        assert!(matches!(origin("max-pipeline"), Some(("9", Origin::File(..)))));
        assert_eq!(origin("http"), Some(("127.0.0.1:8380", Origin::Default)));
    }

    #[test]
    fn memory_overrides_what_is_below_it_of_the_disk_and_the_other_way_round() {
        let disk = [("COUNTER_DATA", "variable"), ("COUNTER_DURABILITY", "fsync")];
        assert!(read(&["--memory"], &disk, "data = 'file'").unwrap().cli.memory);
        let config = read(&["--data", "flag"], &[("COUNTER_MEMORY", "true")], "memory = true").unwrap();
        assert!(!config.cli.memory && data(&config) == "flag");
        assert!(!read(&[], &[("COUNTER_MEMORY", "false")], "memory = true").unwrap().cli.memory);
        assert!(read(&["--memory", "--data", "flag"], &[], "").is_err());
        assert!(read(&[], &[], "memory = true\ndata = 'file'").is_err());
    }

    #[test]
    fn other_nodes_are_a_list() {
        let nodes = |flags: &[&str], variables: &[(&str, &str)], file: &str| {
            read(flags, variables, file).unwrap().cli.peer
        };
        assert_eq!(nodes(&[], &[], "peer = ['b:1', 'c:1']"), ["b:1", "c:1"]);
        assert_eq!(nodes(&[], &[("COUNTER_PEER", "d:1,e:1")], "peer = ['b:1']"), ["d:1", "e:1"]);
        assert_eq!(
            nodes(&["--peer", "f:1", "--peer", "g:1"], &[("COUNTER_PEER", "d:1")], ""),
            ["f:1", "g:1"]
        );
    }

    #[test]
    fn settings_apply_to_the_check_as_well() {
        let config = read(&["check-config", "--data", "flag"], &[("COUNTER_RESP", "off")], "").unwrap();
        assert_eq!((data(&config), config.cli.resp.address()), ("flag", None));
        assert!(config.cli.command.is_some());
    }

    #[test]
    fn a_mistake_is_named_with_its_origin() {
        let error = |variables: &[(&str, &str)], file: &str| read(&[], variables, file).unwrap_err();
        assert_eq!(error(&[], "rsep = 'off'"), "FILE: unknown setting `rsep`");
        assert_eq!(error(&[], "config = 'other'"), "FILE: unknown setting `config`");
        assert_eq!(
            error(&[], "resp = 'here'"),
            "resp in FILE: invalid value 'here' for '--resp <ADDRESS:PORT>': expected an address with a port, or `off`"
        );
        assert!(error(&[("COUNTER_MAX_NAMES", "0")], "").starts_with("COUNTER_MAX_NAMES: invalid value '0'"));
        assert_eq!(
            error(&[("COUNTER_MEMORY", "yes")], ""),
            "COUNTER_MEMORY: expected true or false, not `yes`"
        );
    }
}
