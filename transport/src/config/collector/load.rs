//! From texts to a configuration.

use std::sync::Arc;

use super::super::expand::{Surroundings, expand};
use super::super::fault::{Fault, InvalidConfig};
use super::super::keys::Walk;
use super::super::yaml::{self, Value};
use super::document::Config;

/// A valid configuration and what was odd about its text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings: unset variables, line breaks left out of headers, and, when lenient, what is not supported.
    pub warnings: Vec<Fault>,
    /// What is no mistake, and worth a word: variables that are set and empty.
    pub notes: Vec<Fault>,
    /// Where things stand in the text.
    places: Option<yaml::Places>,
    /// Names of the texts.
    files: Vec<Arc<str>>,
}

impl Loaded {
    /// These faults at their positions in the text, in the order of it.
    pub(crate) fn placed(&self, faults: Vec<Fault>) -> Vec<Fault> {
        match &self.places {
            Some(places) => placed(faults, places, &self.files),
            None => faults,
        }
    }
}

/// One that was made in code: there is no text that anything could stand in.
impl From<Config> for Loaded {
    fn from(config: Config) -> Self {
        Self {
            config,
            warnings: Vec::new(),
            notes: Vec::new(),
            places: None,
            files: Vec::new(),
        }
    }
}

fn placed(faults: Vec<Fault>, places: &yaml::Places, files: &[Arc<str>]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = faults
        .into_iter()
        .map(|fault| {
            let at = places.find(&fault.path);
            fault.at(at).of(files)
        })
        .collect();
    faults.sort_by_key(|fault| fault.position);
    faults
}

impl Config {
    /// Reads a document, strictly.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] with everything that is wrong.
    pub fn load(text: &str, surroundings: &dyn Surroundings) -> Result<Loaded, InvalidConfig> {
        Self::read(&[("", text)], surroundings, false)
    }

    /// Reads a document in which components and pipelines that the Collector knows and Spanwire does not build are
    /// left out with a warning.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] with everything else that is wrong.
    pub fn load_lenient(
        text: &str,
        surroundings: &dyn Surroundings,
    ) -> Result<Loaded, InvalidConfig> {
        Self::read(&[("", text)], surroundings, true)
    }

    /// Reads several documents as one, strictly; each is a name, which stands before what is wrong in it, and its text.
    ///
    /// Each is laid over those before it, and then references are expanded: maps become one, key by key; anything else,
    /// lists too, takes the place of what was there.
    ///
    /// ```
    /// use spanwire_transport::config::Process;
    /// use spanwire_transport::config::collector::Config;
    ///
    /// let base = "
    /// receivers: {otlp: {protocols: {grpc: }}}
    /// exporters: {debug: }
    /// service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}
    /// ";
    /// let ours = "exporters: {debug: {verbosity: loud}}";
    /// let wrong = Config::load_all(&[("base.yaml", base), ("ours.yaml", ours)], &Process).unwrap_err();
    /// assert_eq!(
    ///     wrong.to_string(),
    ///     "ours.yaml:1:21: exporters::debug::verbosity: \
    ///      verbosity level \"loud\" is not supported; accepted: basic, normal, detailed"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] with everything that is wrong.
    pub fn load_all(
        texts: &[(&str, &str)],
        surroundings: &dyn Surroundings,
    ) -> Result<Loaded, InvalidConfig> {
        Self::read(texts, surroundings, false)
    }

    /// Reads several documents as one, as [`load_all`](Self::load_all) does, and leaves out what
    /// [`load_lenient`](Self::load_lenient) leaves out.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] with everything else that is wrong.
    pub fn load_all_lenient(
        texts: &[(&str, &str)],
        surroundings: &dyn Surroundings,
    ) -> Result<Loaded, InvalidConfig> {
        Self::read(texts, surroundings, true)
    }

    fn read(
        texts: &[(&str, &str)],
        from: &dyn Surroundings,
        lenient: bool,
    ) -> Result<Loaded, InvalidConfig> {
        let files: Vec<Arc<str>> = texts
            .iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, _)| Arc::from(*name))
            .collect();
        let named = |error: InvalidConfig| error.map(|fault| fault.of(&files));
        let mut root = None;
        for (index, (_, text)) in texts.iter().enumerate() {
            match (&mut root, yaml::parse_one_of(text, index).map_err(named)?) {
                (_, None) => {}
                (_, Some(over)) if over.value == Value::Null => {}
                (Some(root), Some(over)) => yaml::lay_over(root, over),
                (None, over) => root = over,
            }
        }
        let Some(mut root) = root else {
            return Err(Fault::new(&[], "empty configuration file").into());
        };
        let odd = expand(&mut root, from).map_err(named)?;
        let mut walk = Walk {
            lenient,
            ..Walk::default()
        };
        let mut config = Self::default();
        config.sections(&root, &mut walk);
        let faults = walk.faults.iter().map(|fault| fault.path.clone());
        let unread: Vec<String> = faults.chain(walk.excused.drain(..)).collect();
        let found_so_far = walk.faults.len();
        config.validate(&mut walk);
        // What is missing from a section may be what could not be read in it.
        let follows = |fault: &Fault| {
            let section = format!("{}::", fault.path);
            unread.iter().any(|path| path.starts_with(&section))
        };
        let found = walk.faults.split_off(found_so_far);
        walk.faults
            .extend(found.into_iter().filter(|fault| !follows(fault)));
        let places = yaml::Places::of(&root);
        if !walk.faults.is_empty() && config.service.pipelines.is_empty() {
            // Why nothing is left.
            walk.faults.append(&mut walk.warnings);
        }
        if walk.faults.is_empty() {
            let warnings = odd.warnings.into_iter().chain(walk.warnings).collect();
            Ok(Loaded {
                config,
                warnings: placed(warnings, &places, &files),
                notes: placed(odd.notes, &places, &files),
                places: Some(places),
                files,
            })
        } else {
            Err(InvalidConfig::new(placed(walk.faults, &places, &files)))
        }
    }
}
