//! The name of a backup's file by Moodle's rule (reference 11.1).

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::clock::Timestamp;

/// Bytes of a file name that every file system takes. Moodle itself does not shorten names.
const LONGEST: usize = 255;

/// Language of a name's first word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// `backup`
    #[default]
    English,
    /// `sauvegarde`
    French,
}

impl Language {
    const fn word(self) -> &'static str {
        match self {
            Self::English => "backup",
            Self::French => "sauvegarde",
        }
    }
}

/// What a backup has inside, as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// User data; without it the name ends with `-nu`.
    pub users: bool,
    /// Users are anonymised; told by `-an` when there are any.
    pub anonymized: bool,
    /// Contents of files; without them the name ends with `-nf`.
    pub files: bool,
    /// It is a Common Cartridge; the name ends with `.imscc`.
    pub cartridge: bool,
}

/// What a backup is of, with the id of it in its platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'s> {
    /// A course, by its short name.
    Course(i64, &'s str),
    /// A section, by its name, or its number where it has none.
    Section(i64, &'s str),
    /// An activity, by its kind, such as `quiz`.
    Activity(i64, &'s str),
}

/// The name of a backup's file: `WORD-moodle2-TYPE-ID[-NAME]-DATE[-nu|-an][-nf].mbz`, or `.imscc`, with the date in `zone`
/// (`backup_plan_dbops::get_default_backup_filename`).
///
/// The name is cut where the whole would have more than 255 bytes; the rest is kept.
pub fn file_name(
    language: Language,
    subject: Subject<'_>,
    made: Timestamp,
    zone: Tz,
    contents: Contents,
) -> String {
    let (kind, id, mut name) = match subject {
        // Only a course's name goes through the text filters.
        Subject::Course(id, name) => ("course", id, clean(&without_tags(&with_entities(name)))),
        Subject::Section(id, name) => ("section", id, clean(name)),
        Subject::Activity(id, module) => ("activity", id, clean(&format!("{module}{id}"))),
    };
    let front = format!("{}-moodle2-{kind}-{id}", language.word());
    let users = match contents {
        Contents { users: false, .. } => "-nu",
        Contents { anonymized: true, .. } => "-an",
        _ => "",
    };
    let files = if contents.files { "" } else { "-nf" };
    let extension = if contents.cartridge { "imscc" } else { "mbz" };
    let back = format!("-{}{users}{files}.{extension}", date(made, zone));
    let room = LONGEST.saturating_sub(front.len() + 1 + back.len());
    name.truncate(name.floor_char_boundary(room));
    let separator = if name.is_empty() { "" } else { "-" };
    format!("{front}{separator}{name}{back}")
}

/// `20240131-1430`. A time that the calendar does not know is taken for its beginning, 1970.
fn date(made: Timestamp, zone: Tz) -> String {
    let utc: DateTime<Utc> = DateTime::from_timestamp_millis(made.millis()).unwrap_or_default();
    zone.from_utc_datetime(&utc.naive_utc()).format("%Y%m%d-%H%M").to_string()
}

/// A text as part of a file name.
fn clean(text: &str) -> String {
    let is_forbidden = |c: char| c.is_control() || "&<>\"'`|:\\/".contains(c);
    let filtered = text.replace(' ', "_");
    let kept: String = filtered.chars().filter(|c| !is_forbidden(*c)).collect();
    kept.trim_matches('_').to_lowercase()
}

/// As Moodle's text filters do to every short name: an ampersand that begins no entity becomes one.
fn with_entities(text: &str) -> String {
    let begins_entity = |rest: &str| {
        rest.split_once(';').is_some_and(|(name, _)| {
            (1..=8).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#')
        })
    };
    let mut parts = text.split('&');
    let mut filtered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        filtered.push_str(if begins_entity(part) { "&" } else { "&amp;" });
        filtered.push_str(part);
    }
    filtered
}

/// As they do, too: what looks like a tag is gone, up to the end where it is not closed.
fn without_tags(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        kept.push_str(before);
        rest = match tag.chars().next() {
            Some(first) if !first.is_whitespace() => tag.split_once('>').map_or("", |(_, after)| after),
            _ => tag,
        };
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Europe, Tz};

    use super::*;
    use crate::clock::Timestamp;

    const ALL: Contents = Contents { users: true, anonymized: false, files: true, cartridge: false };
    /// 2024-01-31 14:30 UTC.
    const MADE: Timestamp = Timestamp::from_secs(1_706_711_400);

    #[test]
    fn short_names_are_cleaned_as_moodle_does() {
        for (name, expected) in [
            ("Été 2024/1 : \"A\" <b>", "été_20241__a"),
            ("Trop   d'espaces & co.", "trop___despaces_amp;_co."),
            ("a*b?c|d\\e", "a*b?cde"),
            ("__x__", "x"),
            ("a &eacute; b &c; d < e <f", "a_eacute;_b_c;_d__e"),
            ("é 日 🎓\u{7}\n", "é_日_🎓"),
            ("\u{a0}/", "\u{a0}"),
        ] {
            assert_eq!(clean(&without_tags(&with_entities(name))), expected);
        }
    }

    #[test]
    fn suffixes_tell_what_is_not_inside() {
        let name =
            |contents| file_name(Language::English, Subject::Course(2, "RICH101"), MADE, Tz::UTC, contents);
        assert_eq!(name(ALL), "backup-moodle2-course-2-rich101-20240131-1430.mbz");
        assert_eq!(
            name(Contents { users: false, ..ALL }),
            "backup-moodle2-course-2-rich101-20240131-1430-nu.mbz"
        );
        assert_eq!(
            name(Contents { anonymized: true, files: false, ..ALL }),
            "backup-moodle2-course-2-rich101-20240131-1430-an-nf.mbz"
        );
        // Without users there is nobody to anonymise.
        let none = Contents { users: false, anonymized: true, files: false, cartridge: false };
        assert_eq!(name(none), "backup-moodle2-course-2-rich101-20240131-1430-nu-nf.mbz");
        let cartridge = Contents { users: false, cartridge: true, ..ALL };
        assert_eq!(name(cartridge), "backup-moodle2-course-2-rich101-20240131-1430-nu.imscc");
    }

    #[test]
    fn word_and_date_follow_language_and_zone() {
        let name = file_name(Language::French, Subject::Course(7, "_ _"), MADE, Europe::Paris, ALL);
        assert_eq!(name, "sauvegarde-moodle2-course-7-20240131-1530.mbz");
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_date_and_suffix() {
        let contents = Contents { users: false, ..ALL };
        let name =
            file_name(Language::English, Subject::Course(2, &"🎓".repeat(100)), MADE, Tz::UTC, contents);
        assert!(name.len() <= 255 && name.len() > 251, "{}", name.len());
        assert!(name.ends_with("🎓-20240131-1430-nu.mbz"), "{name}");
    }

    #[test]
    fn parts_of_courses_have_names_of_their_own() {
        let name = |subject| file_name(Language::English, subject, MADE, Tz::UTC, ALL);
        let whole = name(Subject::Course(2, "RICH101"));
        let dated = |rest: &str| whole.replace("course-2-rich101", rest);
        assert_eq!(
            name(Subject::Section(3, "Chapitre 2 : <b>été</b>")),
            dated("section-3-chapitre_2__bétéb")
        );
        assert_eq!(name(Subject::Section(3, "4")), dated("section-3-4"));
        assert_eq!(name(Subject::Activity(22, "quiz")), dated("activity-22-quiz22"));
    }
}
