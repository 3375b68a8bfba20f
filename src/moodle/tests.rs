//! Tests of reading manifests: those of a real Moodle, and broken ones.

use std::io::BufReader;
use std::path::Path;

use super::*;
use crate::archive::{MemberEnd, MemberSink, read_archive};
use crate::clock::Timestamp;
use crate::limits::Limits;
use crate::reason::Reason;

/// Keeps one member's content.
struct Pick {
    is_manifest: bool,
    content: Vec<u8>,
}

impl MemberSink for Pick {
    type Error = std::convert::Infallible;

    fn start(&mut self, path: &MemberPath, _: Option<u64>, _: bool) -> Result<(), Self::Error> {
        self.is_manifest = path.as_str() == MemberPath::MANIFEST;
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        if self.is_manifest {
            self.content.extend(bytes);
        }
        Ok(())
    }

    fn raw(&mut self, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    fn finish(&mut self, _: MemberEnd) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The `moodle_backup.xml` of an archive of the fixtures.
pub(crate) fn fixture(name: &str) -> anyhow::Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let archive = std::fs::File::open(folder.join(name).with_extension("mbz"))?;
    let mut pick = Pick { is_manifest: false, content: Vec::new() };
    read_archive(archive, &Limits::default(), &mut pick)?;
    Ok(pick.content)
}

/// Reads in large and in tiny pieces.
fn read(text: impl AsRef<[u8]>) -> Result<Manifest, ManifestError> {
    let whole = parse(text.as_ref(), &Limits::default());
    let trickled = parse(BufReader::with_capacity(3, text.as_ref()), &Limits::default());
    assert_eq!(whole.as_ref().ok(), trickled.as_ref().ok());
    whole
}

fn setting(level: SettingLevel, item: &str, name: &str, value: &str) -> Setting {
    Setting { level, item: item.into(), name: name.into(), value: value.into() }
}

const LONG: &str = "Activité au nom extrêmement long — pour vérifier que rien ne tronque : été, œuvre, naïveté, \
    façade, Ünïcödé, Ελληνικά, Кириллица, 日本語, العربية, 🎓📚✏️ et encore quelques mots pour dépasser deux cents \
    caractères";

#[test]
fn everything_an_activity_archive_tells_is_read() -> anyhow::Result<()> {
    let mut manifest = read(fixture("rich101-activity-assign-nu")?)?;
    let settings = std::mem::take(&mut manifest.settings);
    let expected = Manifest {
        archive_type: ArchiveType::Activity,
        format: "moodle2".into(),
        mode: 10,
        interactive: false,
        execution: 1,
        backup_id: "141c0970d555e076428ece58db5674d8".into(),
        file_name: "backup.mbz".into(),
        backup_time: Some(Timestamp::from_secs(1_795_456_836)),
        moodle_version: "2023112400".into(),
        moodle_release: "4.4dev (Build: 20231124)".into(),
        backup_version: "2023100900".into(),
        backup_release: "4.4".into(),
        original_site: OriginalSite {
            wwwroot: "http://localhost:8044".into(),
            identifier_hash: "67e925a0477f4e2832fa7ddd1949959e".into(),
            system_context_id: 1,
        },
        original_course: OriginalCourse {
            id: 2,
            format: "topics".into(),
            full_name: "Cours complet « RICH101 » — été, œuvre, 日本語, 🎓".into(),
            short_name: "RICH101".into(),
            start_time: Some(Timestamp::from_secs(1_704_067_200)),
            end_time: Some(Timestamp::from_secs(1_735_603_200)),
            context_id: 23,
        },
        includes_files: true,
        includes_file_references: false,
        includes_remote_users: false,
        settings: Vec::new(),
        sections: Vec::new(),
        activities: vec![Activity {
            module_id: 19,
            section_id: 4,
            module_name: "assign".into(),
            title: format!("Devoir : {LONG}"),
            directory: "activities/assign_19".into(),
            included: true,
            includes_user_data: false,
        }],
    };
    assert_eq!(manifest, expected);
    assert_eq!(settings.len(), 23);
    assert_eq!(settings[0], setting(SettingLevel::Root, "", "filename", "backup.mbz"));
    assert_eq!(settings[22], setting(SettingLevel::Activity, "assign_19", "assign_19_userinfo", "0"));
    Ok(())
}

#[test]
fn sections_and_activities_come_in_order_with_what_the_settings_say() -> anyhow::Result<()> {
    let manifest = read(fixture("rich101-section3")?)?;
    assert_eq!(manifest.archive_type, ArchiveType::Section);
    let section = Section {
        section_id: 3,
        title: format!("Chapitre 2 : {LONG}"),
        directory: "sections/section_3".into(),
        included: true,
        includes_user_data: true,
    };
    assert_eq!(manifest.sections, [section]);
    let titles: Vec<_> =
        manifest.activities.iter().map(|activity| (activity.module_id, activity.title.as_str())).collect();
    assert_eq!(titles.len(), 6);
    assert_eq!(titles[..2], [(9, "Forum de discussion"), (10, "Forum Q & R")]);
    assert!(manifest.activities.iter().all(|activity| activity.included && activity.includes_user_data));
    Ok(())
}

#[test]
fn each_fixture_is_read() -> anyhow::Result<()> {
    use ArchiveType::{Activity, Course, Section};
    // Type, users, files, references, settings, sections, activities.
    for (name, expected) in [
        ("gen_s-nf", (Course, true, false, false, 172, 11, 64)),
        ("gen_xs-full", (Course, true, true, false, 36, 2, 5)),
        ("gen_xs-nu", (Course, false, true, false, 36, 2, 5)),
        ("rich101-activity-assign-nu", (Activity, false, true, false, 23, 0, 1)),
        ("rich101-activity-quiz", (Activity, true, true, false, 23, 0, 1)),
        ("rich101-full-tgz", (Course, true, true, true, 102, 7, 33)),
        ("rich101-full-zip", (Course, true, true, true, 102, 7, 33)),
        ("rich101-nf", (Course, true, false, true, 102, 7, 33)),
        ("rich101-noactivities", (Course, true, true, false, 36, 7, 0)),
        ("rich101-section3", (Section, true, true, false, 35, 1, 6)),
    ] {
        let manifest = read(fixture(name)?)?;
        let told = (
            manifest.archive_type,
            manifest.includes_users(),
            manifest.includes_files,
            manifest.includes_file_references,
            manifest.settings.len(),
            manifest.sections.len(),
            manifest.activities.len(),
        );
        assert_eq!(told, expected, "{name}");
        assert!(!manifest.is_anonymized());
        assert_eq!(manifest.root_setting("logs"), Some("0"));
        assert_eq!(manifest.root_setting("section_21_included"), None);
    }
    Ok(())
}

/// A document with the given fields of `information`.
fn document(fields: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<moodle_backup>\n<information>{fields}<details>\
         <detail backup_id=\"a&amp;b\"><type>course</type><format>moodle2</format></detail></details>\
         </information></moodle_backup>\n"
    )
}

#[test]
fn old_archives_tell_less() -> anyhow::Result<()> {
    let manifest = read(document(""))?;
    assert_eq!(manifest.backup_id, "a&b");
    assert!(manifest.includes_files, "archives from before 2.6 do not tell");
    assert!(!manifest.includes_users());
    assert_eq!((manifest.backup_time, manifest.mode), (None, 0));
    let old = "<backup_date>1300000000</backup_date><moodle_version>2010112400.05</moodle_version>\
        <original_course_fullname>$@NULL@$</original_course_fullname><original_course_id>$@NULL@$</original_course_id>\
        <contents><sections><section><sectionid>5</sectionid><title></title><directory>sections/section_5</directory>\
        </section></sections><activities/></contents><settings><setting><level>section</level>\
        <section>section_5</section><name>section_5_included</name><value>1</value></setting><setting>\
        <level>section</level><section>section_5</section><name>section_5_userinfo</name><value></value></setting>\
        <setting><level>root</level><name>users</name><value>$@NULL@$</value></setting></settings>";
    let manifest = read(document(old))?;
    assert_eq!(manifest.moodle_version, "2010112400.05");
    assert_eq!(manifest.original_course, OriginalCourse::default());
    assert_eq!(manifest.root_setting("users"), Some(""));
    let section = &manifest.sections[0];
    assert!(section.included && !section.includes_user_data);
    Ok(())
}

#[test]
fn text_comes_as_it_was_meant() -> anyhow::Result<()> {
    let name = |text: &str| {
        read(document(&format!("<original_course_fullname>{text}</original_course_fullname>")))
            .map(|manifest| manifest.original_course.full_name)
    };
    assert_eq!(name(" A &amp; B &lt;&gt;&quot;&apos; ")?, " A & B <>\"' ");
    assert_eq!(name("&#233;&#xe9;<!-- not text --><![CDATA[<&]]>")?, "éé<&");
    assert_eq!(name("a\r\nb\rc")?, "a\nb\nc");
    assert_eq!(name("&amp;lt;")?, "&lt;");
    let manifest = read(document(
        "<unknown><name>no</name></unknown><name>yes</name><x><information><name>no</name></information></x>",
    ))?;
    assert_eq!(manifest.file_name, "yes");
    Ok(())
}

#[track_caller]
fn assert_invalid(text: impl AsRef<[u8]>) -> String {
    let error = read(text.as_ref()).expect_err("an invalid manifest");
    assert_eq!(error.reason(), Some(Reason::ArchiveManifestInvalid), "{error}");
    error.to_string()
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    let valid = document("");
    let end = valid.trim_end().len();
    for size in 0..end {
        if valid.is_char_boundary(size) {
            assert_invalid(&valid[..size]);
        }
    }
    for fields in [
        "<backup_date>soon</backup_date>",
        "<original_course_id>99999999999999999999</original_course_id>",
        "<details><detail><type>cartridge</type></detail></details>",
        "<settings><setting><level>site</level><name>a</name></setting></settings>",
        "<settings><setting><level>root</level></setting></settings>",
        "<a></b>",
        "<name>&unknown;</name>",
        "<name>&#0;</name>",
        "<details><detail backup_id=\"&unknown;\"/></details>",
    ] {
        assert_invalid(document(fields));
    }
    let two = "<moodle_backup/>\n<moodle_backup/>";
    assert!(assert_invalid(two).contains("line 2"), "the line is told");
    for text in [
        "<other/>",
        "text<moodle_backup/>",
        "<moodle_backup/>text",
        "<moodle_backup></moodle_backup>",
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><moodle_backup/>",
    ] {
        assert_invalid(text);
    }
    let bomb = "<!DOCTYPE moodle_backup [<!ENTITY a \"b\">]>";
    assert!(
        assert_invalid(format!("{bomb}{}", &valid[valid.find('\n').unwrap_or(0)..]))
            .contains("document type")
    );
    let not_text = valid.replace("moodle2", "m?").into_bytes();
    let not_text: Vec<u8> = not_text.into_iter().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    assert_invalid(not_text);
    assert_invalid(valid.replace("<format>moodle2</format>", ""));
    assert_invalid(valid.replace("<type>course</type>", ""));
}

#[test]
fn each_limit_holds_at_its_value_and_not_beyond() {
    let text = document("<a><b/></a>");
    let reason = |limits: &Limits| parse(text.as_bytes(), limits).err().and_then(|error| error.reason());
    let base = Limits::default();
    let bytes = text.len() as u64;
    assert_eq!(reason(&Limits { manifest_bytes: bytes, ..base }), None);
    assert_eq!(reason(&Limits { manifest_bytes: bytes - 1, ..base }), Some(Reason::LimitManifestBytes));
    // moodle_backup, information, details, detail, type.
    assert_eq!(reason(&Limits { xml_depth: 5, ..base }), None);
    assert_eq!(reason(&Limits { xml_depth: 4, ..base }), Some(Reason::LimitXmlDepth));
    let long = |size: usize| {
        format!("<original_course_fullname>{}</original_course_fullname>", "é".repeat(size / 2))
    };
    assert!(parse(document(&long(64 << 10)).as_bytes(), &base).is_ok());
    assert!(assert_invalid(document(&long((64 << 10) + 2))).contains("65536 bytes"));
    // What is skipped may be as long as it likes.
    assert!(parse(document(&format!("<x><y>{}</y></x>", long(1 << 20))).as_bytes(), &base).is_ok());
}

#[test]
fn a_failing_input_is_not_the_documents_fault() {
    use std::io::Read;
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let result = parse(BufReader::new(b"<moodle_backup>".chain(Broken)), &Limits::default());
    let Err(ManifestError::Input(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn the_format_is_told_by_the_documents_at_the_root() -> anyhow::Result<()> {
    use crate::course::{ContentRef, Encoding, Entry};
    let content = ContentRef {
        digest: crate::digest::Digest([0; 32]),
        size: 0,
        crc32: 0,
        encoding: Encoding::Stored,
        encoded_size: 0,
        form: 0,
    };
    for (paths, expected) in [
        (&["moodle_backup.xml", "imsmanifest.xml"][..], Some("moodle2")),
        (&["imsmanifest.xml", "a"], Some("imscc1")),
        (&["folder/moodle_backup.xml", "folder/imsmanifest.xml"], None),
        (&[], None),
    ] {
        let mut entries = Vec::new();
        for path in paths {
            entries.push(Entry { path: MemberPath::parse(path, &Limits::default())?, content });
        }
        assert_eq!(detect(&Tree::new(entries)?).map(ArchiveFormat::as_str), expected);
    }
    Ok(())
}
