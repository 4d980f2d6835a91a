//! Where job files are, and what stands beside them (filters, calendars), and one look at what is in them.
//!
//! A source is a file, a directory (every `.yaml`, `.yml` and `.json` in it), or a pattern with `*` in its last part. Looks follow symbolic
//! links, as a Kubernetes ConfigMap needs: its files point through `..data`, which is swapped for another directory at an update.
//! Holds: a look lists files in the order of their sources, and by name within one; each file once. Checked by the tests below.

use crate::config::Shared;
use chrono_tz::Tz;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// What the names of job files and of filters end with.
pub(super) const TEXTS: &[&str] = &[".yaml", ".yml", ".json"];
/// And those of calendars.
pub(super) const CALENDARS: &[&str] = &[".yaml", ".yml", ".json", ".ics"];

/// The `jobs` of the configuration and what stands beside them, relative paths resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSources {
    jobs: Vec<PathBuf>,
    shared: SharedSources,
}

/// What a file that stands beside jobs holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedKind {
    /// Filters.
    Filters,
    /// Calendars; and whose clock counts where they name none.
    Calendars(Option<Tz>),
}

/// Where the files are that stand beside jobs: files, directories, patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedSources {
    /// Filters.
    pub filters: Vec<PathBuf>,
    /// Calendars.
    pub calendars: Vec<PathBuf>,
    /// Whose clock counts where a calendar names none.
    pub time_zone: Option<Tz>,
}

/// A file that stands beside jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// What it holds.
    pub kind: SharedKind,
    /// Which.
    pub file: PathBuf,
    /// Its text, or why it cannot be read.
    pub text: Result<String, String>,
}

/// What job files hold at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Each file with its text, or why it cannot be read.
    pub files: Vec<(PathBuf, Result<String, String>)>,
    /// Sources that could not be listed: what they held before is not known to be gone.
    pub unlisted: Vec<String>,
    /// What stands beside the jobs.
    pub shared: Vec<SharedFile>,
}

impl JobSources {
    /// Files, directories and patterns.
    pub fn new(sources: Vec<PathBuf>) -> JobSources {
        JobSources {
            jobs: sources,
            shared: SharedSources::default(),
        }
    }

    /// The same, and beside them what several jobs share.
    #[must_use]
    pub fn beside(self, shared: SharedSources) -> JobSources {
        JobSources { shared, ..self }
    }

    /// Reads every file there is now.
    pub fn look(&self) -> Look {
        let mut look = Look::default();
        look.files = read_all(&self.jobs, TEXTS, &mut look.unlisted);
        look.shared = self.shared.read_all(&mut look.unlisted);
        look
    }
}

impl SharedSources {
    fn read_all(&self, unlisted: &mut Vec<String>) -> Vec<SharedFile> {
        let mut read = Vec::new();
        let calendars = SharedKind::Calendars(self.time_zone);
        for (kind, sources, endings) in [
            (SharedKind::Filters, &self.filters, TEXTS),
            (calendars, &self.calendars, CALENDARS),
        ] {
            let files = read_all(sources, endings, unlisted).into_iter();
            read.extend(files.map(|(file, text)| SharedFile { kind, file, text }));
        }
        read
    }

    /// What they hold, or everything that is wrong with them.
    pub fn read(&self) -> Result<Shared, Vec<String>> {
        let mut mistakes = Vec::new();
        let files = self.read_all(&mut mistakes);
        let is_gone = |source: &&PathBuf| names_a_file(source, CALENDARS) && !source.exists();
        for source in self.filters.iter().chain(&self.calendars).filter(is_gone) {
            mistakes.push(format!("{}: is not there", source.display()));
        }
        let mut shared = Shared::default();
        for file in &files {
            mistakes.extend(file.join(&mut shared).err());
        }
        match mistakes.is_empty() {
            true => Ok(shared),
            false => Err(mistakes),
        }
    }
}

impl SharedFile {
    /// Takes what the file holds into what is shared; otherwise everything that is wrong with it.
    pub fn join(&self, shared: &mut Shared) -> Result<(), String> {
        let text = self.text.as_ref().map_err(String::clone)?;
        let name = self.file.display().to_string();
        let joined = match self.kind {
            SharedKind::Filters => shared.add_filters(text, &name),
            SharedKind::Calendars(zone) => shared.add_calendars(text, &name, zone),
        };
        joined.map_err(|errors| errors.to_string())
    }
}

/// Every file of these sources with its text, or why it cannot be read.
fn read_all(
    sources: &[PathBuf],
    endings: &[&str],
    unlisted: &mut Vec<String>,
) -> Vec<(PathBuf, Result<String, String>)> {
    let (mut read, mut seen) = (Vec::new(), BTreeSet::new());
    for source in sources {
        let files = match list(source, endings) {
            Ok(files) => files,
            // A file that is gone is gone; a directory that is gone is more likely a mount that failed.
            Err(error) if is_missing(&error) && names_a_file(source, endings) => continue,
            Err(error) => {
                unlisted.push(format!("{}: {error}", source.display()));
                continue;
            }
        };
        for file in files {
            if !seen.insert(file.clone()) {
                continue;
            }
            match std::fs::read_to_string(&file) {
                Ok(text) => read.push((file, Ok(text))),
                Err(error) if is_missing(&error) => {} // gone since it was listed
                Err(error) => {
                    let why = format!("{}: cannot be read: {error}", file.display());
                    read.push((file, Err(why)));
                }
            }
        }
    }
    read
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn names_a_file(source: &Path, endings: &[&str]) -> bool {
    let name = source.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| !name.contains('*') && endings.iter().any(|end| name.ends_with(end)))
}

/// The file itself, the files of these endings in a directory, or those whose name fits `*` in the last part of the path; by name. As in a shell, a name that begins
/// with a dot fits only what does: it is what editors, archives and tools of synchronisation leave beside a file.
pub(super) fn list(source: &Path, endings: &[&str]) -> io::Result<Vec<PathBuf>> {
    let pattern = source
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| name.contains('*'));
    let (directory, pattern) = match pattern {
        Some(pattern) => (source.parent().unwrap_or(Path::new("")), pattern),
        None if source.is_dir() => (source, "*"),
        None => return std::fs::metadata(source).map(|_| vec![source.to_path_buf()]),
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let file = entry?.path();
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let is_hidden = name.starts_with('.') && !pattern.starts_with('.');
        let is_job = !is_hidden && endings.iter().any(|end| name.ends_with(end));
        if is_job && file.is_file() && fits(name, pattern) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether `name` fits a pattern in which `*` stands for any text.
pub(crate) fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((before, after)) => {
            let Some(rest) = name.strip_prefix(before) else {
                return false;
            };
            (0..=rest.len())
                .filter(|&at| rest.is_char_boundary(at))
                .any(|at| fits(&rest[at..], after))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_star_in_a_file_name_stands_for_any_text() {
        for (name, pattern, expected) in [
            ("web-1.yaml", "web-*.yaml", true),
            ("web.yaml", "web-*.yaml", false),
            ("a.b.json", "*.*", true),
            ("ü.yml", "*.yml", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }

    fn names(look: &Look) -> Vec<(String, bool)> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        look.files
            .iter()
            .map(|(path, text)| (name(path), text.is_ok()))
            .collect()
    }

    #[test]
    fn a_look_lists_each_file_once_and_tells_what_is_gone_from_what_cannot_be_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("b.yaml"), "b").unwrap();
        fs::write(path("a.json"), "a").unwrap();
        fs::write(path("notes.txt"), "none of ours").unwrap();
        // What editors and archives leave.
        fs::write(path("._a.json"), [0, 5, 0x16, 7]).unwrap();
        fs::write(path(".a.yaml"), "half").unwrap();
        fs::write(path("c.yml"), [0xff, 0xfe]).unwrap();
        let sources = JobSources::new(vec![
            path("b.yaml"),
            folder.path().to_owned(),
            path("gone.yaml"),
        ]);
        let look = sources.look();
        let expected = [("b.yaml", true), ("a.json", true), ("c.yml", false)];
        assert_eq!(
            names(&look),
            expected.map(|(name, ok)| (name.to_owned(), ok))
        );
        assert!(look.unlisted.is_empty());
        let look = JobSources::new(vec![path("mount")]).look();
        assert_eq!(look.files.len(), 0);
        assert_eq!(look.unlisted.len(), 1, "a directory that is not there");
    }

    #[cfg(unix)]
    #[test]
    fn a_config_map_that_is_swapped_is_another_look_and_a_dangling_name_is_gone() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("..v1", "one"), ("..v2", "two")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("web.yaml"), text).unwrap();
        }
        fs::write(path("..v1/old.yaml"), "old").unwrap();
        symlink("..v1", path("..data")).unwrap();
        symlink("..data/web.yaml", path("web.yaml")).unwrap();
        symlink("..data/old.yaml", path("old.yaml")).unwrap();
        let sources = JobSources::new(vec![folder.path().to_owned()]);
        let before = sources.look();
        assert_eq!(before.files.len(), 2);
        symlink("..v2", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        let after = sources.look();
        assert_eq!(after.files, [(path("web.yaml"), Ok("two".to_owned()))]);
    }
}
