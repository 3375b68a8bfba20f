//! Who may make which call where: every call × every role × one's own course, another one of the site, another site. And what
//! nobody may know of: a thing that one may not see answers like one that does not exist.
//!
//! A new call needs a row in [`CALLS`]; without one the test fails.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut};
use coursevault::config::{PrincipalConfig, RoleConfig};
use coursevault::digest::Sha256;
use coursevault::proto::*;
use futures::StreamExt;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use sha2::Digest;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::access::{as_whom, store};
use crate::app::TestApp;
use crate::client::*;

/// Who asks, and what was granted. The columns of [`CALLS`] stand in this order.
const WHO: [(&str, &[&str]); 8] = [
    ("root", &["administrator@*"]),
    ("boss", &["administrator@sites/main"]),
    ("manager", &["manager@sites/main"]),
    ("service", &["service@sites/main"]),
    ("auditor", &["auditor@sites/main"]),
    ("teacher", &["teacher@sites/main/courses/own"]),
    ("grader", &["grader@sites/main"]),
    ("nobody", &[]),
];

/// Each call with messages that change nothing, and for each of [`WHO`] three letters: how it ends for the course `own`, for
/// another course of the site, and on another site. `+` goes on, `-` PERMISSION_DENIED, `.` as if there were nothing.
const CALLS: &[(&str, &str, &str)] = &[
    ("AdminService/CreateSite", r#"{"site_id":"{site}"}"#, "+++ ++- --- --- --- --- --- ---"),
    ("AdminService/GetSite", r#"{"name":"sites/{site}"}"#, "+++ ++- ++- ++- ++- ++- --- ---"),
    (
        "AdminService/UpdateSite",
        r#"{"site":{"name":"sites/{site}","time_zone":"nowhere"}}"#,
        "+++ ++- --- --- --- --- --- ---",
    ),
    ("AdminService/ListSites", r#"{}"#, "+++ +++ +++ +++ +++ +++ --- ---"),
    ("AdminService/GetServerInfo", r#"{}"#, "+++ +++ +++ +++ +++ +++ --- ---"),
    ("AdminService/ListAuditEntries", r#"{"parent":"sites/{site}"}"#, "+++ ++- --- --- ++- --- --- ---"),
    ("AdminService/VerifyArchives", r#"{"parent":"sites/{site}"}"#, "+++ ++- --- --- --- --- --- ---"),
    ("BackupService/VerifyArchive", r#"{"name":"{archive}"}"#, "+++ ++- ++- ++- ++- +.- --- ---"),
    ("AdminService/GetStorageReport", r#"{"parent":"sites/{site}"}"#, "+++ ++- ++- ++- ++- --- --- ---"),
    (
        "AdminService/ImportUsers",
        r#"{"header":{"parent":"sites/{site}","validate_only":true}}"#,
        "+++ ++- --- --- --- --- --- ---",
    ),
    ("AdminService/GetUser", r#"{"name":"{user}"}"#, "+++ ++- --- --- --- --- --- ---"),
    ("AdminService/ListUsers", r#"{"parent":"sites/{site}"}"#, "+++ ++- --- --- --- --- --- ---"),
    (
        "AdminService/DeleteUsers",
        r#"{"parent":"sites/{site}","names":["x"]}"#,
        "+++ ++- --- --- --- --- --- ---",
    ),
    (
        "AdminService/ImportRoles",
        r#"{"parent":"sites/{site}","roles":[{"role_id":-1}]}"#,
        "+++ ++- --- --- --- --- --- ---",
    ),
    ("AdminService/ListRoles", r#"{"parent":"sites/{site}"}"#, "+++ ++- --- --- --- --- --- ---"),
    (
        "BackupService/UploadBackup",
        r#"{"header":{"parent":"sites/{site}","course":"{course}","file_name":"x.mbz"}} {"chunk":{"data":"eA=="}}"#,
        "+++ ++- ++- ++- --- +-- --- ---",
    ),
    ("BackupService/PlanBackup", r#"{"source":"{course}"}"#, "+++ ++- ++- ++- --- +-- --- ---"),
    (
        "BackupService/CreateBackup",
        r#"{"course":"{course}","validate_only":true}"#,
        "+++ ++- ++- ++- --- +-- --- ---",
    ),
    ("BackupService/GetArchive", r#"{"name":"{archive}"}"#, "+++ ++- ++- ++- ++- +.- ++- ---"),
    ("BackupService/ListArchives", r#"{"parent":"sites/{site}"}"#, "+++ ++- ++- ++- ++- ++- ++- ---"),
    (
        "BackupService/UpdateArchive",
        r#"{"archive":{"name":"{archive}","etag":"\"0\"","description":"x"}}"#,
        "+++ ++- ++- --- --- -.- --- ---",
    ),
    (
        "BackupService/DeleteArchive",
        r#"{"name":"{archive}","etag":"\"0\""}"#,
        "+++ ++- ++- --- --- -.- --- ---",
    ),
    ("BackupService/UndeleteArchive", r#"{"name":"{archive}"}"#, "+++ ++- ++- --- --- -.- --- ---"),
    (
        "BackupService/PlaceHold",
        r#"{"name":"{archive}","etag":"\"0\"","reason":"x"}"#,
        "+++ ++- ++- --- --- -.- --- ---",
    ),
    (
        "BackupService/ReleaseHold",
        r#"{"name":"{archive}","etag":"\"0\"","reason":"x"}"#,
        "+++ ++- ++- --- --- -.- --- ---",
    ),
    (
        "BackupService/ShareArchive",
        r#"{"name":"{archive}","principal":"root","ttl":"60s"}"#,
        "+++ ++- ++- --- --- -.- --- ---",
    ),
    (
        "BackupService/UnshareArchive",
        r#"{"name":"{archive}","principal":"x"}"#,
        "+++ ++- ++- --- --- -.- --- ---",
    ),
    ("BackupService/DownloadArchive", r#"{"name":"{archive}"}"#, "+++ ++- ++- ++- --- +.- ++- ---"),
    ("BackupService/ListArchiveMembers", r#"{"parent":"{archive}"}"#, "+++ ++- ++- ++- ++- +.- ++- ---"),
    (
        "BackupService/ReadArchiveMember",
        r#"{"name":"{archive}","path":"moodle_backup.xml"}"#,
        "+++ ++- ++- ++- --- +.- ++- ---",
    ),
    ("BackupService/InspectArchive", r#"{"name":"{archive}"}"#, "+++ ++- ++- ++- ++- +.- ++- ---"),
    (
        "BackupService/ConvertArchive",
        r#"{"name":"{archive}","validate_only":true}"#,
        "+++ ++- ++- ++- --- +.- --- ---",
    ),
    (
        "BackupService/CompareArchives",
        r#"{"a":"{archive}","b":"{archive}"}"#,
        "+++ ++- ++- ++- --- +.- ++- ---",
    ),
    ("CourseService/GetCourse", r#"{"name":"{course}"}"#, "+++ ++- ++- ++- ++- +-- --- ---"),
    ("CourseService/ListCourses", r#"{"parent":"sites/{site}"}"#, "+++ ++- ++- ++- ++- ++- --- ---"),
    ("CourseService/GetRevision", r#"{"name":"{revision}"}"#, "+++ ++- ++- ++- ++- +-- --- ---"),
    ("CourseService/ListRevisions", r#"{"parent":"{course}"}"#, "+++ ++- ++- ++- ++- +-- --- ---"),
    ("CourseService/DownloadCourse", r#"{"name":"{course}"}"#, "+++ ++- ++- ++- --- +-- ++- ---"),
    (
        "CourseService/PublishRevision",
        r#"{"course":"{course}","archive":"{archive}","expected_parent":"{course}/revisions/77"}"#,
        "+++ ++- ++- ++- --- --- --- ---",
    ),
    ("JobService/GetJob", r#"{"name":"{job}"}"#, "+++ ++- ++- ++- ++- +.- --- ---"),
    ("JobService/ListJobs", r#"{"parent":"sites/{site}"}"#, "+++ ++- ++- ++- ++- ++- --- ---"),
    ("JobService/WaitJob", r#"{"name":"{job}","timeout":"0s"}"#, "+++ ++- ++- ++- ++- +.- --- ---"),
    ("JobService/WatchJob", r#"{"name":"{job}"}"#, "+++ ++- ++- ++- ++- +.- --- ---"),
    ("JobService/CancelJob", r#"{"name":"{job}"}"#, "+++ ++- ++- ++- --- +.- --- ---"),
    ("JobService/RetryJob", r#"{"name":"{job}"}"#, "+++ ++- ++- ++- --- +.- --- ---"),
    (
        "RestoreService/UploadArchive",
        r#"{"header":{"parent":"sites/{site}","file_name":"x.mbz"}} {"chunk":{"data":"eA=="}}"#,
        "+++ ++- ++- ++- --- ++- --- ---",
    ),
    (
        "RestoreService/PlanRestore",
        r#"{"archive":"{archive}","existing_course":{"course":"{course}"}}"#,
        "+++ ++- ++- ++- --- +.- --- ---",
    ),
    (
        "RestoreService/CreateRestore",
        r#"{"archive":"{archive}","new_course":{},"validate_only":true}"#,
        "+++ ++- ++- ++- --- -.- --- ---",
    ),
    (
        "RestoreService/CopyCourse",
        r#"{"course":"{course}","validate_only":true}"#,
        "+++ ++- ++- ++- --- --- --- ---",
    ),
    ("RestoreService/RollbackRestore", r#"{"job":"{job}"}"#, "+++ ++- ++- ++- --- +.- --- ---"),
    (
        "TransferService/StartUpload",
        r#"{"parent":"sites/{site}","file_name":"x.mbz"}"#,
        "+++ ++- ++- ++- --- ++- --- ---",
    ),
    ("TransferService/UploadChunks", r#"{"name":"{upload}"}"#, "+++ ++- ..- ..- --- ..- --- ---"),
    ("TransferService/GetUpload", r#"{"name":"{upload}"}"#, "+++ ++- ..- ..- --- ..- --- ---"),
    (
        "TransferService/FinishUpload",
        r#"{"name":"{upload}","size_bytes":"5","sha256":"x"}"#,
        "+++ ++- ..- ..- --- ..- --- ---",
    ),
    ("TransferService/AbortUpload", r#"{"name":"{upload}"}"#, "+++ ++- ..- ..- --- ..- --- ---"),
];

/// What the messages name.
struct Names {
    site: String,
    course: String,
    archive: String,
    revision: String,
    job: String,
    upload: String,
    user: String,
}

impl Names {
    fn fill(&self, text: &str) -> String {
        text.replace("{site}", &self.site)
            .replace("{course}", &self.course)
            .replace("{archive}", &self.archive)
            .replace("{revision}", &self.revision)
            .replace("{job}", &self.job)
            .replace("{upload}", &self.upload)
            .replace("{user}", &self.user)
    }

    /// An answer without the names that were asked for.
    fn hidden(&self, text: &str) -> String {
        let each =
            [&self.revision, &self.course, &self.archive, &self.job, &self.upload, &self.user, &self.site];
        each.into_iter().fold(text.to_owned(), |text, name| text.replace(name.as_str(), "?"))
    }

    /// Names that nothing has, on a site.
    fn missing(site: &str) -> Self {
        const ID: &str = "01a20ab7-f4bf-749e-9d52-162ed3d05c02";
        Self {
            site: site.into(),
            course: format!("sites/{site}/courses/gone"),
            archive: format!("sites/{site}/archives/{ID}"),
            revision: format!("sites/{site}/courses/gone/revisions/1"),
            job: format!("sites/{site}/jobs/{ID}"),
            upload: format!("sites/{site}/uploads/{ID}"),
            user: format!("sites/{site}/users/77"),
        }
    }
}

/// A course with everything that calls name, all of it root's.
async fn make(app: &TestApp, site: &str, course: &str) -> Result<Names> {
    let parent = format!("sites/{site}");
    let course = format!("{parent}/courses/{course}");
    let header = UploadHeader {
        parent: parent.clone(),
        area: Area::Course.into(),
        course: course.clone(),
        ..header("x.mbz")
    };
    let archive = store(app, "root", header).await?.name;
    let publish =
        PublishRevisionRequest { course: course.clone(), archive: archive.clone(), ..Default::default() };
    let revision = app.courses().publish_revision(as_whom("root", publish)?).await?.into_inner().revision;
    let backup = CreateBackupRequest { course: course.clone(), ..Default::default() };
    let job = app.backups().create_backup(as_whom("root", backup)?).await?.into_inner().job;
    let start = StartUploadRequest { parent, file_name: "x.mbz".into(), ..Default::default() };
    let upload = app.transfers().start_upload(as_whom("root", start)?).await?.into_inner().upload;
    Ok(Names {
        site: site.into(),
        user: format!("sites/{site}/users/2"),
        archive,
        revision: revision.context("a revision")?.name,
        job: job.context("a job")?.name,
        upload: upload.context("an upload")?.name,
        course,
    })
}

/// A codec that leaves bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let bytes = bytes.copy_to_bytes(bytes.remaining());
        Ok(Some(bytes.to_vec()))
    }
}

/// Makes any call with messages in JSON. The first answer, or the refusal.
async fn attempt(
    app: &TestApp,
    method: &MethodDescriptor,
    whom: &str,
    json: &str,
) -> Result<Result<(), Status>> {
    let messages = serde_json::Deserializer::from_str(json).into_iter::<serde_json::Value>();
    let messages =
        messages.map(|value| Ok(DynamicMessage::deserialize(method.input(), value?)?.encode_to_vec()));
    let messages: Vec<Vec<u8>> = messages.collect::<Result<_>>().with_context(|| json.to_owned())?;
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut client = tonic::client::Grpc::new(app.channel.clone());
    client.ready().await?;
    let request = as_whom(whom, futures::stream::iter(messages))?;
    let answer = client.streaming(request, path.parse::<PathAndQuery>()?, Raw).await;
    Ok(match answer {
        Err(status) => Err(status),
        Ok(answers) => match answers.into_inner().next().await {
            Some(Err(status)) => Err(status),
            _ => Ok(()),
        },
    })
}

fn letter(answer: &Result<(), Status>) -> char {
    match answer {
        Err(status) if status.code() == Code::PermissionDenied => '-',
        Err(status) if status.code() == Code::NotFound => {
            let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            let unseen =
                ["ARCHIVE_NOT_FOUND", "JOB_NOT_FOUND", "UPLOAD_NOT_FOUND"].contains(&reason.as_str());
            if unseen { '.' } else { '+' }
        }
        _ => '+',
    }
}

/// All that a refusal tells, without the names that were asked for.
fn told(answer: &Result<(), Status>, names: &Names) -> String {
    match answer {
        Ok(()) => "OK".into(),
        Err(status) => {
            let all = (status.code(), status.message(), status.get_error_details());
            names.hidden(&format!("{all:?}"))
        }
    }
}

async fn guarded() -> Result<TestApp> {
    let principal = |(name, grants): (&str, &[&str])| PrincipalConfig {
        name: name.into(),
        tokens: vec![Sha256(sha2::Sha256::digest(format!("{name}-secret")).into())],
        grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        ..PrincipalConfig::default()
    };
    let capabilities = ["coursevault/archive:view", "moodle/backup:downloadfile"].map(str::to_owned);
    TestApp::with(|config| {
        config.limits.concurrent_jobs = 0;
        config.roles.insert("grader".into(), RoleConfig { capabilities: capabilities.into() });
        config.principals = WHO.into_iter().map(principal).collect();
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_for_every_role_on_every_side() -> Result<()> {
    let app = guarded().await?;
    let site = CreateSiteRequest { site_id: "other".into(), ..Default::default() };
    app.admin().create_site(as_whom("root", site)?).await?;
    let sides = [
        make(&app, "main", "own").await?,
        make(&app, "main", "second").await?,
        make(&app, "other", "own").await?,
    ];
    let nothing = [Names::missing("main"), Names::missing("missing")];

    let pool = DescriptorPool::decode(coursevault::proto::DESCRIPTOR_SET)?;
    let methods = pool.services().filter(|service| service.package_name() == "coursevault.v1");
    let mut methods: BTreeMap<String, MethodDescriptor> = methods
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| (format!("{}/{}", method.parent_service().name(), method.name()), method))
        .collect();
    let mut wrong = Vec::new();
    for (call, json, expected) in CALLS {
        let method = methods.remove(*call).with_context(|| format!("{call} is no call"))?;
        let mut row = Vec::new();
        for (whom, _) in WHO {
            let mut letters = String::new();
            for (names, nothing) in sides.iter().zip([&nothing[0], &nothing[0], &nothing[1]]) {
                let answer = attempt(&app, &method, whom, &names.fill(json)).await?;
                letters.push(letter(&answer));
                // What is not the caller's looks like what is not there, to the letter.
                let foreign = whom != "root" && names.site == "other"
                    || whom == "teacher" && names.course.ends_with("second");
                if (foreign && letter(&answer) != '+') || letter(&answer) == '.' {
                    let missing = attempt(&app, &method, whom, &nothing.fill(json)).await?;
                    let (answer, missing) = (told(&answer, names), told(&missing, nothing));
                    if answer != missing {
                        wrong.push(format!(
                            "{call} tells {whom} that something is there: {answer} / {missing}"
                        ));
                    }
                }
            }
            row.push(letters);
        }
        let row = row.join(" ");
        if row != *expected {
            wrong.push(format!("    (\"{call}\", r#\"{json}\"#, \"{row}\"),"));
        }
    }
    for call in methods.keys() {
        wrong.push(format!("{call} has no row in CALLS"));
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}
