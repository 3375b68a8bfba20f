//! The journal of a site: facts that are known only after a pack was written, as segments of JSON lines.
//!
//! A segment is written once and never changed. Its last line holds the BLAKE3 of all lines before, so a segment that was
//! cut or altered is told from a whole one. A catalog can be made anew from the records in the packs and the journal.

use std::fmt;
use std::str::FromStr;

use super::error::Malformed;
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::directory::{Person, Platform, SiteRole, Source};
use crate::ids::{ArchiveName, CourseName, SiteId};

const WHAT: &str = "journal segment";
const FORMAT: &str = "coursevault-journal";
/// Version of the segments and events written here.
const VERSION: u64 = 1;
/// Largest segment in bytes: it is read as a whole.
pub(super) const MAX_SEGMENT_BYTES: usize = 16 << 20;

/// Id of a journal segment: a UUID in lower case. Ids sort by the time they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(uuid::Uuid);

impl SegmentId {
    /// A new id.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7())
    }

    /// When it was made, by the clock of its writer.
    pub fn time(&self) -> Timestamp {
        self.0.get_timestamp().map_or(Timestamp::default(), |time| {
            let (seconds, nanos) = time.to_unix();
            Timestamp::from_millis(i64::try_from(seconds * 1000 + u64::from(nanos) / 1_000_000).unwrap_or(0))
        })
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for SegmentId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match uuid::Uuid::try_parse(text) {
            Ok(id) if id.to_string() == text => Ok(Self(id)),
            _ => Err(Malformed::damaged(WHAT, "its name is no UUID in lower case")),
        }
    }
}

/// A fact, and who brought it about when.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JournalEvent {
    /// When it happened.
    pub time: Timestamp,
    /// The principal that asked for it.
    pub principal: String,
    /// The request's id, where the caller gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A site was made.
    SiteCreated {
        /// The site.
        site: SiteId,
        /// Its name for people.
        display_name: String,
        /// Language of its file names.
        language: String,
        /// Time zone of its file names, an IANA name.
        time_zone: String,
        /// The platform it stands for, as far as that is known.
        #[serde(default, skip_serializing_if = "Platform::is_unknown")]
        platform: Platform,
    },
    /// A site was changed: this is what it is from then on.
    SiteUpdated {
        /// The site.
        site: SiteId,
        /// Its name for people.
        display_name: String,
        /// Language of its file names.
        language: String,
        /// Time zone of its file names, an IANA name.
        time_zone: String,
        /// The platform it stands for, as far as that is known.
        #[serde(default, skip_serializing_if = "Platform::is_unknown")]
        platform: Platform,
    },
    /// Accounts of a site's directory are so from then on, whatever they were before. One import may be several events, between
    /// which names change hands: only after the last one is every name one account's.
    AccountsWritten {
        /// The site.
        site: SiteId,
        /// How they came to be known.
        source: Source,
        /// The accounts; some hundred at most.
        accounts: Vec<Person>,
    },
    /// Accounts are not in a site's directory any more.
    AccountsForgotten {
        /// The site.
        site: SiteId,
        /// Their ids.
        accounts: Vec<i64>,
    },
    /// These are all the roles of a site from then on.
    RolesWritten {
        /// The site.
        site: SiteId,
        /// How they came to be known.
        source: Source,
        /// The roles.
        roles: Vec<SiteRole>,
    },
    /// Ids below this one may be in use on a site. Written before they are: a catalog that is made anew goes on there.
    IdsReserved {
        /// The site.
        site: SiteId,
        /// The first id that is not given out.
        below: i64,
    },
    /// A course was made.
    CourseCreated {
        /// The course.
        course: CourseName,
    },
    /// A course was deleted.
    CourseDeleted {
        /// The course.
        course: CourseName,
    },
    /// An archive was deleted; it can be undeleted until it is purged.
    ArchiveDeleted {
        /// The archive.
        archive: ArchiveName,
        /// When it may be purged.
        purge_time: Timestamp,
    },
    /// An archive was undeleted.
    ArchiveUndeleted {
        /// The archive.
        archive: ArchiveName,
    },
    /// People wrote something else about an archive.
    ArchiveDescribed {
        /// The archive.
        archive: ArchiveName,
        /// What they wrote; may be empty.
        description: String,
    },
    /// An archive is held by the event's principal: neither deleted nor purged, and it never expires.
    ArchiveHeld {
        /// The archive.
        archive: ArchiveName,
        /// Why.
        reason: String,
    },
    /// The hold on an archive was released.
    ArchiveReleased {
        /// The archive.
        archive: ArchiveName,
        /// Why.
        reason: String,
    },
    /// An archive is made available to somebody by the event's principal, instead of what was said of those two before.
    ArchiveShared {
        /// The archive.
        archive: ArchiveName,
        /// To whom.
        with: String,
        /// Until then.
        expire_time: Timestamp,
        /// A word to them; may be empty.
        note: String,
    },
    /// An archive is not made available to somebody any more.
    ArchiveUnshared {
        /// The archive.
        archive: ArchiveName,
        /// To whom it was.
        with: String,
    },
    /// An archive was stored: its record counts. Records of archives of which this was never said are of work that was given up.
    ArchiveStored {
        /// The archive.
        archive: ArchiveName,
    },
    /// A revision became the live one of its course: its record counts.
    RevisionStored {
        /// The course.
        course: CourseName,
        /// Its number.
        number: i64,
        /// The root of its tree, for there may be records of others that wanted to be that number.
        root: Digest,
    },
    /// Revisions of a course are not kept any more: written before their bytes go, so that they never come back.
    RevisionsPruned {
        /// The course.
        course: CourseName,
        /// Their numbers.
        numbers: Vec<i64>,
    },
    /// An archive is purged: written before its row and its bytes go, so that it never comes back.
    ArchivePurged {
        /// The archive.
        archive: ArchiveName,
    },
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    format: String,
    version: u64,
    site: SiteId,
    events: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Seal {
    blake3: Digest,
}

fn damaged(fault: &str) -> Malformed {
    Malformed::damaged(WHAT, fault)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn not_json(error: serde_json::Error) -> Malformed {
    Malformed::damaged(WHAT, error.to_string())
}

fn line(out: &mut Vec<u8>, value: &impl serde::Serialize) -> Result<(), Malformed> {
    serde_json::to_writer(&mut *out, value).map_err(not_json)?;
    out.push(b'\n');
    Ok(())
}

/// The bytes of a segment of a site's journal.
pub fn encode_segment(site: &SiteId, events: &[JournalEvent]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    let header =
        Header { format: FORMAT.into(), version: VERSION, site: site.clone(), events: events.len() as u64 };
    line(&mut out, &header)?;
    for event in events {
        line(&mut out, event)?;
    }
    let seal = Seal { blake3: Digest::of(&out) };
    line(&mut out, &seal)?;
    if out.len() > MAX_SEGMENT_BYTES {
        return Err(damaged("it is over 16 MiB"));
    }
    Ok(out)
}

/// The events of a segment of a site's journal.
pub fn decode_segment(site: &SiteId, bytes: &[u8]) -> Result<Vec<JournalEvent>, Malformed> {
    if bytes.len() > MAX_SEGMENT_BYTES {
        return Err(damaged("it is over 16 MiB"));
    }
    let lines = bytes.strip_suffix(b"\n").ok_or_else(|| damaged("its last line is cut"))?;
    let sealed = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
    let (body, seal) = lines.split_at(sealed);
    let seal: Seal = serde_json::from_slice(seal).map_err(|_| damaged("its last line is no seal"))?;
    if Digest::of(body) != seal.blake3 {
        return Err(damaged("it has another digest than its last line says"));
    }
    let mut lines = body.split_inclusive(|byte| *byte == b'\n');
    let header: Header = parse(lines.next().unwrap_or_default())?;
    if header.format != FORMAT {
        return Err(damaged("its first line is of another format"));
    }
    if header.version != VERSION {
        return Err(Malformed::Version { what: WHAT, found: header.version, known: VERSION });
    }
    if header.site != *site {
        return Err(damaged("it belongs to another site"));
    }
    let events = lines.map(parse).collect::<Result<Vec<JournalEvent>, _>>()?;
    if events.len() as u64 != header.events {
        return Err(damaged("it has more or fewer events than its first line says"));
    }
    Ok(events)
}

fn parse<T: serde::de::DeserializeOwned>(line: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(line).map_err(not_json)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = include_bytes!("golden/journal.jsonl");

    fn site() -> SiteId {
        "main".parse().expect("a site id")
    }

    #[expect(clippy::too_many_lines, reason = "one of each kind of event")]
    fn events() -> Vec<JournalEvent> {
        let course: CourseName = "sites/main/courses/rich101".parse().expect("a course");
        let again = course.clone();
        let archive: ArchiveName =
            "sites/main/archives/01920000-0000-7000-8000-000000000001".parse().expect("an archive");
        let created = Event::SiteCreated {
            site: site(),
            display_name: "École".into(),
            language: "fr".into(),
            time_zone: "Europe/Paris".into(),
            platform: Platform::default(),
        };
        let platform = Platform { identifier_hash: "67e9".into(), wwwroot: "https://moodle.example".into() };
        let zoe = Person {
            id: 3,
            username: "zoe".into(),
            host: 1,
            email: "zoe@example.org".into(),
            id_number: "N1".into(),
            first_name: "Zoé".into(),
            last_name: "Lefèvre".into(),
            first_access: 1_700_000_000,
            is_deleted: false,
            auth: "manual".into(),
            is_pseudonym: false,
        };
        let nobody = Person {
            id: 1_000_000_000_000,
            username: "user1000000000000".into(),
            host: 1,
            is_deleted: true,
            is_pseudonym: true,
            ..Person::default()
        };
        let student = SiteRole {
            id: 5,
            short_name: "student".into(),
            archetype: "student".into(),
            name: String::new(),
        };
        let purge_time = Timestamp::from_secs(1_800_000_000);
        [
            created,
            Event::CourseCreated { course: course.clone() },
            Event::ArchiveDeleted { archive: archive.clone(), purge_time },
            Event::ArchiveUndeleted { archive: archive.clone() },
            Event::ArchivePurged { archive: archive.clone() },
            Event::CourseDeleted { course },
            Event::SiteUpdated {
                site: site(),
                display_name: "École".into(),
                language: "en".into(),
                time_zone: "UTC".into(),
                platform,
            },
            Event::ArchiveDescribed { archive: archive.clone(), description: "before the exam".into() },
            Event::ArchiveHeld { archive: archive.clone(), reason: "an appeal".into() },
            Event::ArchiveReleased { archive: archive.clone(), reason: "it is decided".into() },
            Event::ArchiveShared {
                archive: archive.clone(),
                with: "lms".into(),
                expire_time: purge_time,
                note: "as you asked".into(),
            },
            Event::ArchiveUnshared { archive: archive.clone(), with: "lms".into() },
            Event::AccountsWritten { site: site(), source: Source::Imported, accounts: vec![zoe, nobody] },
            Event::AccountsForgotten { site: site(), accounts: vec![3, 4] },
            Event::RolesWritten { site: site(), source: Source::Published, roles: vec![student] },
            Event::IdsReserved { site: site(), below: 1_000_000_000_500 },
            Event::ArchiveStored { archive },
            Event::RevisionStored { course: again.clone(), number: 3, root: Digest::of(b"root") },
            Event::RevisionsPruned { course: again, numbers: vec![1, 2] },
        ]
        .into_iter()
        .zip(0..)
        .map(|(event, index)| JournalEvent {
            time: Timestamp::from_millis(1_700_000_000_000 + index),
            principal: "admin".into(),
            request_id: (index == 2).then(|| "request-7".into()),
            event,
        })
        .collect()
    }

    #[test]
    fn a_segment_has_the_documented_bytes() {
        let bytes = encode_segment(&site(), &events()).expect("a segment");
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(GOLDEN));
        assert_eq!(decode_segment(&site(), GOLDEN), Ok(events()));
    }

    #[test]
    fn a_segment_without_events_round_trips() {
        let bytes = encode_segment(&site(), &[]).expect("a segment");
        assert_eq!(decode_segment(&site(), &bytes), Ok(Vec::new()));
    }

    #[test]
    fn a_cut_or_altered_segment_is_refused() {
        for length in 0..GOLDEN.len() {
            assert!(decode_segment(&site(), &GOLDEN[..length]).is_err(), "{length}");
        }
        for position in 0..GOLDEN.len() {
            let mut altered = GOLDEN.to_vec();
            altered[position] ^= 1;
            assert!(decode_segment(&site(), &altered).is_err(), "{position}");
        }
        let doubled = [GOLDEN, GOLDEN].concat();
        assert!(decode_segment(&site(), &doubled).is_err());
    }

    /// A segment of these lines with a right seal.
    fn sealed(lines: &str) -> Vec<u8> {
        let mut bytes = lines.as_bytes().to_vec();
        let seal = Seal { blake3: Digest::of(&bytes) };
        line(&mut bytes, &seal).expect("a line");
        bytes
    }

    #[test]
    fn other_versions_sites_and_counts_are_refused() {
        let header = |version: u64, site: &str, events: u64| {
            format!(r#"{{"format":"{FORMAT}","version":{version},"site":"{site}","events":{events}}}"#) + "\n"
        };
        assert_eq!(decode_segment(&site(), &sealed(&header(1, "main", 0))), Ok(Vec::new()));
        assert_eq!(
            decode_segment(&site(), &sealed(&header(2, "main", 0))),
            Err(Malformed::Version { what: WHAT, found: 2, known: 1 })
        );
        for bad in [header(1, "other", 0), header(1, "main", 1), String::new(), "{}\n".into(), "\n".into()] {
            assert!(
                matches!(decode_segment(&site(), &sealed(&bad)), Err(Malformed::Damaged { .. })),
                "{bad}"
            );
        }
    }
}
