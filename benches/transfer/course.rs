//! A made-up course as a sequence of members: Moodle's documents around contents that do not compress.
//!
//! Everything follows from numbers, so that two runs measure the same bytes.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha1::{Digest as _, Sha1};

/// Bytes of noise after which the pattern is changed.
const NOISE_BLOCK: usize = 256 << 10;

/// What a member holds.
pub enum Content {
    /// A document.
    Text(Vec<u8>),
    /// `size` bytes that do not compress; other seeds give other bytes.
    Noise { seed: u64, size: u64 },
}

/// A member of an archive.
pub struct Member {
    pub path: String,
    pub content: Content,
    pub crc32: u32,
}

impl Member {
    pub fn text(path: String, text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self { path, crc32: crc32fast::hash(&text), content: Content::Text(text) }
    }

    /// A content file under the name that Moodle gives it.
    pub fn noise(seed: u64, size: u64) -> io::Result<Self> {
        let (mut sha1, mut crc32) = (Sha1::new(), crc32fast::Hasher::new());
        let mut noise = Noise::new(seed, size);
        let mut buffer = vec![0; NOISE_BLOCK];
        loop {
            let count = noise.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            sha1.update(&buffer[..count]);
            crc32.update(&buffer[..count]);
        }
        let name = coursevault::digest::Sha1(sha1.finalize().into()).to_string();
        let path = format!("files/{}/{name}", &name[..2]);
        Ok(Self { path, content: Content::Noise { seed, size }, crc32: crc32.finalize() })
    }

    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Text(text) => text.len() as u64,
            Content::Noise { size, .. } => *size,
        }
    }

    pub fn reader(&self) -> Box<dyn Read + '_> {
        match &self.content {
            Content::Text(text) => Box::new(text.as_slice()),
            Content::Noise { seed, size } => Box::new(Noise::new(*seed, *size)),
        }
    }
}

/// Bytes without a pattern that deflate could find: one random block, and for each position in it another mask.
struct Noise {
    base: Vec<u8>,
    seed: u64,
    position: u64,
    size: u64,
}

impl Noise {
    fn new(seed: u64, size: u64) -> Self {
        let mut base =
            vec![0; NOISE_BLOCK.min(usize::try_from(size).unwrap_or(NOISE_BLOCK)).next_multiple_of(8)];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut base);
        Self { base, seed, position: 0, size }
    }
}

impl Read for Noise {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let block = self.position / NOISE_BLOCK as u64;
        let within = usize::try_from(self.position % NOISE_BLOCK as u64).unwrap_or(0);
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let count = target.len().min(left).min(NOISE_BLOCK - within);
        let mask = mix(self.seed ^ block.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes();
        // A mask of eight bytes, turned to where the reading begins.
        let mask: [u8; 8] = std::array::from_fn(|at| mask[(within + at) % 8]);
        let target = &mut target[..count];
        target.copy_from_slice(&self.base[within..within + count]);
        let mask_word = u64::from_ne_bytes(mask);
        let mut words = target.chunks_exact_mut(8);
        for word in words.by_ref() {
            if let Ok(bytes) = <[u8; 8]>::try_from(&*word) {
                word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ mask_word).to_ne_bytes());
            }
        }
        words.into_remainder().iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        self.position += count as u64;
        Ok(count)
    }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// An activity of the course.
struct Activity {
    module: &'static str,
    id: usize,
    section: usize,
}

/// How large a course is. `large` is the one that Moodle's own generator makes in size L, as its archive was measured.
pub struct Size {
    pub sections: usize,
    pub pages: usize,
    pub assignments: usize,
    pub users: usize,
    pub small_files: usize,
    pub large_files: usize,
    /// Bytes of all documents together.
    pub documents: usize,
}

impl Size {
    /// 944 MB of contents and 33 MB of documents, divided by `part`.
    pub fn large(part: usize) -> Self {
        let share = |count: usize| (count / part).max(1);
        Self {
            sections: share(501),
            pages: share(1000),
            assignments: share(500),
            users: share(10_000),
            small_files: share(1024),
            large_files: share(10),
            documents: 33_000_000 / part,
        }
    }
}

const LARGE_FILE: u64 = 80 << 20;
const SMALL_FILE: u64 = 100 << 10;
const OTHER_FILES: u64 = 11;

/// All members of a course of that size, the manifest last, as Moodle writes it.
pub fn members(size: &Size) -> io::Result<Vec<Member>> {
    let mut contents = Vec::new();
    for seed in 0..size.large_files as u64 {
        contents.push(Member::noise(seed, LARGE_FILE)?);
    }
    for seed in 0..size.small_files as u64 {
        // From a half to one and a half of the mean.
        let spread = SMALL_FILE / 2 + SMALL_FILE * seed / size.small_files as u64;
        contents.push(Member::noise(1_000 + seed, spread)?);
    }
    for seed in 0..OTHER_FILES {
        contents.push(Member::noise(1_000_000 + seed, 32 << seed)?);
    }
    let activities = activities(size);
    let mut members = documents(size, &activities);
    members.push(Member::text("files.xml".into(), files_document(&contents)));
    members.push(Member::text("moodle_backup.log".into(), Vec::new()));
    let manifest = Member::text("moodle_backup.xml".into(), manifest(size.sections, &activities));
    let so_far: u64 = members.iter().chain([&manifest]).map(Member::size).sum();
    let rest = (size.documents as u64).saturating_sub(so_far) / size.users as u64;
    members.push(Member::text(
        "users.xml".into(),
        users_document(size.users, usize::try_from(rest).unwrap_or(0)),
    ));
    members.extend(contents);
    members.push(manifest);
    Ok(members)
}

/// Members of an archive of `bytes` bytes, made one after the other; other seeds give other contents.
pub fn huge(seed: u64, bytes: u64) -> impl Iterator<Item = io::Result<Member>> {
    let files = bytes.div_ceil(LARGE_FILE);
    let activity = Activity { module: "page", id: 1, section: 1 };
    let manifest = Member::text("moodle_backup.xml".into(), manifest(1, &[activity]));
    let noise = (0..files)
        .map(move |file| Member::noise((seed + 1) << 32 | file, LARGE_FILE.min(bytes - file * LARGE_FILE)));
    std::iter::once(Ok(manifest)).chain(noise)
}

fn activities(size: &Size) -> Vec<Activity> {
    let kinds = [("page", size.pages), ("assign", size.assignments), ("resource", 11), ("forum", 1)];
    let modules = kinds.into_iter().flat_map(|(module, count)| std::iter::repeat_n(module, count));
    modules
        .enumerate()
        .map(|(id, module)| Activity { module, id: id + 1, section: id % size.sections + 1 })
        .collect()
}

fn document(root: &str, body: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>\n{body}</{root}>\n")
}

/// What Moodle writes for each activity besides its own document; nearly all of them say nothing and are the same.
const BESIDE: [&str; 9] = [
    "calendar",
    "comments",
    "competencies",
    "completion",
    "filters",
    "grade_history",
    "grades",
    "roles",
    "xapistate",
];

const ROOT: [&str; 8] =
    ["badges", "completion", "gradebook", "grade_history", "groups", "outcomes", "questions", "scales"];
const COURSE: [&str; 9] = [
    "calendar",
    "comments",
    "competencies",
    "completiondefaults",
    "contentbank",
    "course",
    "filters",
    "inforef",
    "roles",
];

fn documents(size: &Size, activities: &[Activity]) -> Vec<Member> {
    let mut members = Vec::new();
    for Activity { module, id, section } in activities {
        let folder = format!("activities/{module}_{id}");
        let mut add = |name: &str, body: &str| {
            members.push(Member::text(format!("{folder}/{name}.xml"), document(name, body)));
        };
        for name in BESIDE {
            add(name, &format!("  <{name}_items>\n  </{name}_items>\n"));
        }
        if *module != "page" && *module != "resource" {
            add("grading", "");
        }
        add("inforef", &format!("  <fileref>\n    <file>\n      <id>{id}</id>\n    </file>\n  </fileref>\n"));
        add(
            "module",
            &format!(
                "  <modulename>{module}</modulename>\n  <sectionid>{section}</sectionid>\n  <idnumber>{}</idnumber>\n{}",
                mix(*id as u64),
                "  <visible>1</visible>\n  <groupmode>0</groupmode>\n  <completion>0</completion>\n"
                    .repeat(6),
            ),
        );
        add(
            module,
            &format!(
                "  <{module} id=\"{id}\">\n    <name>{module} {id}</name>\n    <intro>{}</intro>\n  </{module}>\n",
                words(*id as u64, if *module == "assign" { 2_000 } else { 300 }),
            ),
        );
    }
    for section in 1..=size.sections {
        let folder = format!("sections/section_{section}");
        members.push(Member::text(format!("{folder}/inforef.xml"), document("inforef", "")));
        let body =
            format!("  <number>{section}</number>\n  <summary>{}</summary>\n", words(section as u64, 120));
        members.push(Member::text(format!("{folder}/section.xml"), document("section", &body)));
    }
    members.extend(ROOT.map(|name| Member::text(format!("{name}.xml"), document(name, ""))));
    members.extend(COURSE.map(|name| Member::text(format!("course/{name}.xml"), document(name, ""))));
    let enrolments: String = (1..=size.users).fold(String::new(), |mut all, user| {
        let _ = write!(
            all,
            "  <enrolment id=\"{user}\">\n    <status>0</status>\n    <userid>{user}</userid>\n    <timestart>0</timestart>\n    \
             <timeend>0</timeend>\n    <timecreated>{}</timecreated>\n  </enrolment>\n",
            1_700_000_000 + mix(user as u64) % 10_000_000
        );
        all
    });
    members.push(Member::text("course/enrolments.xml".into(), document("enrolments", &enrolments)));
    members
}

fn files_document(contents: &[Member]) -> String {
    let files = contents.iter().enumerate().fold(String::new(), |mut all, (id, content)| {
        let hash = content.path.rsplit('/').next().unwrap_or_default();
        let _ = write!(
            all,
            "  <file id=\"{id}\">\n    <contenthash>{hash}</contenthash>\n    <contextid>7</contextid>\n    \
             <component>mod_resource</component>\n    <filearea>content</filearea>\n    <itemid>0</itemid>\n    \
             <filepath>/</filepath>\n    <filename>file{id}.dat</filename>\n    <filesize>{}</filesize>\n    \
             <mimetype>application/octet-stream</mimetype>\n  </file>\n",
            content.size()
        );
        all
    });
    document("files", &files)
}

fn users_document(users: usize, bytes: usize) -> String {
    let all = (1..=users).fold(String::new(), |mut all, user| {
        let (number, text) = (mix(user as u64), bytes.saturating_sub(230));
        let _ = write!(
            all,
            "  <user id=\"{user}\" contextid=\"{}\">\n    <username>user{user}</username>\n    \
             <email>{number:x}@example.org</email>\n    <firstname>{}</firstname>\n    <lastname>{}</lastname>\n    \
             <description>{}</description>\n  </user>\n",
            user + 1000,
            words(number, 8),
            words(number >> 8, 8),
            words(number, text),
        );
        all
    });
    document("users", &all)
}

/// At least `bytes` bytes of words.
fn words(seed: u64, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "course", "river", "seven", "paper", "window", "learn", "number", "light", "garden", "stone",
        "question", "answer", "teacher", "blue", "morning", "because",
    ];
    let mut text = String::with_capacity(bytes + 10);
    let mut number = seed;
    while text.len() < bytes {
        number = mix(number.wrapping_add(1));
        text.push_str(WORDS[usize::try_from(number % 16).unwrap_or(0)]);
        text.push(' ');
    }
    text
}

fn setting(level: &str, item: &str, name: &str, value: &str) -> String {
    let item = if item.is_empty() { String::new() } else { format!("        <{level}>{item}</{level}>\n") };
    format!(
        "      <setting>\n        <level>{level}</level>\n{item}        <name>{name}</name>\n        \
         <value>{value}</value>\n      </setting>\n"
    )
}

fn manifest(sections: usize, activities: &[Activity]) -> String {
    let (mut listed, mut settings) = (String::new(), String::new());
    for name in
        ["users", "role_assignments", "activities", "blocks", "files", "filters", "comments", "badges"]
    {
        settings += &setting("root", "", name, "1");
    }
    settings += &setting("root", "", "filename", "backup.mbz");
    listed += "      <activities>\n";
    for Activity { module, id, section } in activities {
        let item = format!("{module}_{id}");
        let _ = write!(
            listed,
            "        <activity>\n          <moduleid>{id}</moduleid>\n          <sectionid>{section}</sectionid>\n          \
             <modulename>{module}</modulename>\n          <title>{module} {id}</title>\n          \
             <directory>activities/{item}</directory>\n        </activity>\n"
        );
        for suffix in ["included", "userinfo"] {
            settings += &setting("activity", &item, &format!("{item}_{suffix}"), "1");
        }
    }
    listed += "      </activities>\n      <sections>\n";
    for section in 1..=sections {
        let item = format!("section_{section}");
        let _ = write!(
            listed,
            "        <section>\n          <sectionid>{section}</sectionid>\n          <title>{section}</title>\n          \
             <directory>sections/{item}</directory>\n        </section>\n"
        );
        for suffix in ["included", "userinfo"] {
            settings += &setting("section", &item, &format!("{item}_{suffix}"), "1");
        }
    }
    listed += "      </sections>\n      <course>\n        <courseid>7</courseid>\n        <title>large</title>\n        \
               <directory>course</directory>\n      </course>\n";
    let body = format!(
        "{ABOUT}    <contents>\n{listed}    </contents>\n    <settings>\n{settings}    </settings>\n"
    );
    document("moodle_backup", &format!("  <information>\n{body}  </information>\n"))
}

const ABOUT: &str = "    <name>backup.mbz</name>
    <moodle_version>2023112400</moodle_version>
    <moodle_release>4.4dev (Build: 20231124)</moodle_release>
    <backup_version>2023100900</backup_version>
    <backup_release>4.4</backup_release>
    <backup_date>1795456909</backup_date>
    <mnet_remoteusers>0</mnet_remoteusers>
    <include_files>1</include_files>
    <include_file_references_to_external_content>0</include_file_references_to_external_content>
    <original_wwwroot>http://localhost</original_wwwroot>
    <original_site_identifier_hash>0123456789abcdef0123456789abcdef</original_site_identifier_hash>
    <original_course_id>7</original_course_id>
    <original_course_format>topics</original_course_format>
    <original_course_fullname>A large course</original_course_fullname>
    <original_course_shortname>large</original_course_shortname>
    <original_course_startdate>1795392000</original_course_startdate>
    <original_course_enddate>0</original_course_enddate>
    <original_course_contextid>120</original_course_contextid>
    <original_system_contextid>1</original_system_contextid>
    <details>
      <detail backup_id=\"00112233445566778899aabbccddeeff\">
        <type>course</type>
        <format>moodle2</format>
        <interactive>1</interactive>
        <mode>10</mode>
        <execution>1</execution>
        <executiontime>0</executiontime>
      </detail>
    </details>
";
