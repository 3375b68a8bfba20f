//! Which files a course's activities and questions have, and where they go in a cartridge.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufReader;

use super::error::ImsccError;
use crate::course::{Member, MemberPath, Members};
use crate::limits::Limits;
use crate::moodle::each_row;

/// Components whose files a cartridge can hold. Files of all others are left out with what they belong to.
const COMPONENTS: &[&str] = &[
    "mod_page",
    "mod_resource",
    "mod_folder",
    "mod_book",
    "mod_label",
    "mod_forum",
    "mod_lti",
    "mod_quiz",
    "mod_url",
    "mod_assign",
    "question",
    "course",
];

/// A place of files: context, component, area, item.
type Area = (i64, String, String, i64);

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Folder in its area, with slashes around.
    pub folder: String,
    /// Name.
    pub name: String,
    /// Where its content lies in the archive.
    pub content: MemberPath,
    /// Size in bytes.
    pub size: u64,
    /// Files with the highest one are the main file of a resource.
    pub sort_order: i64,
}

/// All files that may be of use.
#[derive(Debug, Default)]
pub(super) struct Files {
    areas: HashMap<Area, Vec<File>>,
    /// Rows whose content is not in the archive, by area.
    missing: HashMap<Area, u64>,
}

impl Files {
    /// Reads `files.xml`.
    pub fn read(source: &dyn Members, members: &[Member], limits: &Limits) -> Result<Self, ImsccError> {
        let contents: HashMap<&str, &Member> = members
            .iter()
            .filter_map(|member| {
                Some((member.path.as_str().strip_prefix("files/")?.split_once('/')?.1, member))
            })
            .collect();
        let mut files = Self::default();
        let Some(document) = members.iter().find(|member| member.path.as_str() == "files.xml") else {
            return Ok(files);
        };
        let input = open(source, &document.path)?;
        let fields = [
            "contenthash",
            "contextid",
            "component",
            "filearea",
            "itemid",
            "filepath",
            "filename",
            "sortorder",
        ];
        each_row(input, limits, &["files", "file"], &fields, |mut row| {
            let (hash, component, name) = (row.text(0), row.text(2), row.text(6));
            if !COMPONENTS.contains(&component.as_str()) || name == "." || name.is_empty() {
                return;
            }
            let area = (row.number(1), component, row.text(3), row.number(4));
            match contents.get(hash.as_str()) {
                Some(member) => files.areas.entry(area).or_default().push(File {
                    folder: row.text(5),
                    name,
                    content: member.path.clone(),
                    size: member.size,
                    sort_order: row.number(7),
                }),
                None => *files.missing.entry(area).or_default() += 1,
            }
        })
        .map_err(ImsccError::xml(&document.path))?;
        for list in files.areas.values_mut() {
            list.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
        }
        Ok(files)
    }

    /// The files of an area, by folder and name.
    pub fn of(&self, context: i64, component: &str, area: &str, item: i64) -> &[File] {
        let key = (context, component.to_owned(), area.to_owned(), item);
        self.areas.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Rows of an area whose content is not in the archive, such as aliases.
    pub fn missing(&self, context: i64, component: &str, area: &str, item: i64) -> u64 {
        let key = (context, component.to_owned(), area.to_owned(), item);
        self.missing.get(&key).copied().unwrap_or_default()
    }
}

pub(super) fn open<'s>(
    source: &'s dyn Members,
    path: &MemberPath,
) -> Result<BufReader<Box<dyn std::io::Read + 's>>, ImsccError> {
    let input = source.open(path).map_err(|error| ImsccError::Read { path: path.to_string(), error })?;
    Ok(BufReader::with_capacity(64 << 10, input))
}

/// Files with their places below one folder of the cartridge.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed {
    /// By folder and name in Moodle (`/sub/été 1.png`): the path in the cartridge.
    paths: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    /// What is to be copied: from, to.
    pub copies: Vec<(MemberPath, String)>,
    /// Whether some names are other ones now.
    pub renamed: bool,
    /// Whether some contents are missing.
    pub lacking: bool,
}

impl Placed {
    /// Places files below `folder`.
    pub fn add(&mut self, folder: &str, files: &[File]) {
        for file in files {
            let original = format!("{}{}", file.folder, file.name);
            if self.paths.contains_key(&original) {
                continue;
            }
            let mut path = folder.to_owned();
            for part in file.folder.split('/').filter(|part| !part.is_empty()) {
                let clean = safe(part);
                self.renamed |= clean != part;
                path.push('/');
                path.push_str(&clean);
            }
            let clean = safe(&file.name);
            self.renamed |= clean != file.name;
            let mut full = format!("{path}/{clean}");
            let mut number = 2;
            // Two names may become one, or differ in letter case only, which some file systems do not see.
            while !self.taken.insert(full.to_lowercase()) {
                let (stem, extension) = split_extension(&clean);
                full = format!("{path}/{stem}-{number}{extension}");
                number += 1;
                self.renamed = true;
            }
            self.paths.insert(original, full.clone());
            self.copies.push((file.content.clone(), full));
        }
    }

    /// Where a file is, by folder and name in Moodle.
    pub fn path(&self, original: &str) -> Option<&str> {
        self.paths.get(original).map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// The paths in the cartridge, in order and once each.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        self.copies.iter().map(|(_, path)| path.as_str()).filter(move |path| seen.insert(*path))
    }
}

fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.').filter(|at| *at > 0 && name.len() - at <= 12) {
        Some(at) => name.split_at(at),
        None => (name, ""),
    }
}

/// A name that means the same in a link as in a file system: letters and digits of any script, dots, hyphens, underscores.
pub(super) fn safe(name: &str) -> String {
    const LONGEST: usize = 120;
    let keep = |c: char| if c.is_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    let clean: String = name.trim().chars().map(keep).collect();
    let clean = match clean.trim_matches('.') {
        "" => "_".to_owned(),
        _ => clean,
    };
    if clean.len() <= LONGEST {
        return clean;
    }
    let (stem, extension) = split_extension(&clean);
    format!("{}{extension}", &stem[..stem.floor_char_boundary(LONGEST - extension.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::in_memory::path_of;

    #[test]
    fn names_are_safe_in_links_and_file_systems() {
        for (name, clean) in [
            ("été 1 (b).png", "été_1__b_.png"),
            ("..", "_"),
            ("a/b\\c?d#e&f%g", "a_b_c_d_e_f_g"),
            ("日本語.txt", "日本語.txt"),
            ("", "_"),
        ] {
            assert_eq!(safe(name), clean);
        }
        let long = format!("{}.jpeg", "é".repeat(200));
        assert!(safe(&long).len() <= 120 && safe(&long).ends_with("é.jpeg"));
    }

    #[test]
    fn no_two_files_get_one_place() {
        let file = |folder: &str, name: &str| File {
            folder: folder.into(),
            name: name.into(),
            content: path_of("files/aa/aa"),
            size: 1,
            sort_order: 0,
        };
        let mut placed = Placed::default();
        placed.add(
            "p",
            &[file("/", "a b.txt"), file("/", "a_b.txt"), file("/", "A_B.txt"), file("/x y/", "a")],
        );
        let all: Vec<&str> = placed.targets().collect();
        assert_eq!(all, ["p/a_b.txt", "p/a_b-2.txt", "p/A_B-3.txt", "p/x_y/a"]);
        assert_eq!(placed.path("/A_B.txt"), Some("p/A_B-3.txt"));
        assert!(placed.renamed);
    }
}
