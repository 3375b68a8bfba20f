//! The closed list: what two archives of the same course with the same settings may differ in, each with its reason. It is
//! data; [`super::rules`] applies it. Nothing else may differ, not even white space.
//!
//! Established on archives that Moodle 4.4 made of one course some seconds apart, and on its source.

/// Which documents an entry speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Documents {
    /// The member of exactly this path.
    Root(&'static str),
    /// Every member of this file name.
    Named(&'static str),
}

/// What an entry lets pass, at the paths that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The order of an element's children.
    Order,
    /// A number that follows the position in the list: in each document the value is `anon…N` where the row is the N-th.
    AnonymousNumber,
    /// A value that both documents mark as encrypted, of the same length in base64.
    Encrypted,
    /// A time in seconds: a plain number above zero in both.
    Seconds,
    /// 32 hexadecimal digits in both.
    RunId,
    /// A text that is empty in neither.
    Text,
    /// A row that only one archive has, with an id above all ids of the other's list. Only when asked for. When an archive was made
    /// says nothing here: one that is derived has the log of its source.
    NewRow,
}

/// An entry of the closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The entry as programs see it.
    pub id: &'static str,
    /// The documents.
    pub documents: Documents,
    /// Paths in them: of the list for [`What::Order`], of the row for [`What::NewRow`], else of the value. `*` is any element.
    pub at: &'static [&'static str],
    /// What may differ there.
    pub what: What,
    /// Why it carries no meaning.
    pub reason: &'static str,
    /// Where in Moodle it comes from.
    pub origin: &'static str,
}

/// The closed list.
pub const CLOSED_LIST: &[Entry] = &[
    Entry {
        id: "FILES_ORDER",
        documents: Documents::Root("files.xml"),
        at: &["/files"],
        what: What::Order,
        reason: "the order of rows in files.xml carries no meaning",
        origin: "the final step joins a temporary table of ids without an ORDER BY",
    },
    Entry {
        id: "USERS_ORDER",
        documents: Documents::Root("users.xml"),
        at: &["/users"],
        what: What::Order,
        reason: "the order of rows in users.xml carries no meaning",
        origin: "the final step joins a temporary table of ids without an ORDER BY",
    },
    Entry {
        id: "ANONYMOUS_NUMBERS",
        documents: Documents::Root("users.xml"),
        at: &[
            "/users/user/username",
            "/users/user/email",
            "/users/user/firstname",
            "/users/user/lastname",
            "/users/user/firstnamephonetic",
            "/users/user/lastnamephonetic",
            "/users/user/middlename",
            "/users/user/alternatename",
        ],
        what: What::AnonymousNumber,
        reason: "the numbers of anonymous users follow the order of rows in users.xml",
        origin: "a counter runs while the rows are written",
    },
    Entry {
        id: "ROLES_ORDER",
        documents: Documents::Root("roles.xml"),
        at: &["/roles_definition"],
        what: What::Order,
        reason: "the order of rows in roles.xml carries no meaning",
        origin: "the final step joins a temporary table of ids without an ORDER BY",
    },
    Entry {
        id: "SCALES_ORDER",
        documents: Documents::Root("scales.xml"),
        at: &["/scales_definition"],
        what: What::Order,
        reason: "the order of rows in scales.xml carries no meaning",
        origin: "the final step joins a temporary table of ids without an ORDER BY",
    },
    Entry {
        id: "OUTCOMES_ORDER",
        documents: Documents::Root("outcomes.xml"),
        at: &["/outcomes_definition"],
        what: What::Order,
        reason: "the order of rows in outcomes.xml carries no meaning",
        origin: "the final step joins a temporary table of ids without an ORDER BY",
    },
    Entry {
        id: "GRADES_ORDER",
        documents: Documents::Named("grades.xml"),
        at: &["/activity_gradebook/grade_items", "/activity_gradebook/grade_items/grade_item/grade_grades"],
        what: What::Order,
        reason: "the order of grade items and grades of an activity carries no meaning",
        origin: "items are joined with a temporary table, grades are read, without an ORDER BY; grading again moves the rows",
    },
    Entry {
        id: "REFERENCES_ORDER",
        documents: Documents::Named("inforef.xml"),
        at: &["/inforef/*"],
        what: What::Order,
        reason: "the ids in inforef.xml are sets",
        origin: "a temporary table of annotated ids is read without an ORDER BY",
    },
    Entry {
        id: "FRESHLY_ENCRYPTED",
        documents: Documents::Named("lti.xml"),
        at: &[
            "/activity/lti/resourcekey",
            "/activity/lti/password",
            "/activity/lti/ltitype/ltitypesconfigs/ltitypesconfigencrypted/value",
        ],
        what: What::Encrypted,
        reason: "secrets are encrypted anew in every backup, with a fresh initialisation vector",
        origin: "elements that are declared encrypted, AES-256-CBC with HMAC",
    },
    Entry {
        id: "BACKUP_DATE",
        documents: Documents::Root("moodle_backup.xml"),
        at: &["/moodle_backup/information/backup_date"],
        what: What::Seconds,
        reason: "the time when the backup was made",
        origin: "written by the main file's step",
    },
    Entry {
        id: "EXECUTION_TIME",
        documents: Documents::Root("moodle_backup.xml"),
        at: &["/moodle_backup/information/details/detail/executiontime"],
        what: What::Seconds,
        reason: "the time for which a delayed backup was ordered; 0 for one that ran at once, which it must stay",
        origin: "the controller's execution time",
    },
    Entry {
        id: "BACKUP_ID",
        documents: Documents::Root("moodle_backup.xml"),
        at: &["/moodle_backup/information/details/detail/@backup_id"],
        what: What::RunId,
        reason: "every run has an id of its own",
        origin: "a digest of type, course, user and time that the controller makes",
    },
    Entry {
        id: "FILE_NAME",
        documents: Documents::Root("moodle_backup.xml"),
        at: &[
            "/moodle_backup/information/name",
            "/moodle_backup/information/settings/setting[name=filename]/value",
        ],
        what: What::Text,
        reason: "the file name holds the date, and whoever makes the backup may choose it",
        origin: "the setting filename, and the name that is taken from it",
    },
    Entry {
        id: "NEW_LOG_ROWS",
        documents: Documents::Named("logs.xml"),
        at: &["/logs/log"],
        what: What::NewRow,
        reason: "rows that were logged after the other archive's state was read",
        origin: "the legacy log table",
    },
    Entry {
        id: "NEW_LOG_ROWS",
        documents: Documents::Named("logstores.xml"),
        at: &["/logstores/logstore/*/logstore_standard_log", "/logstores/logstore/*/logstore_database_log"],
        what: What::NewRow,
        reason: "rows that were logged after the other archive's state was read, the event of that backup first",
        origin: "the log stores' tables",
    },
];
