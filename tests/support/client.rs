//! A client of the service: the generated stubs, and the few steps that most tests take.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use coursevault::archive::{MemberEnd, MemberSink, read_archive};
use coursevault::course::MemberPath;
use coursevault::limits::Limits;
use coursevault::proto::admin_service_client::AdminServiceClient;
use coursevault::proto::backup_service_client::BackupServiceClient;
use coursevault::proto::course_service_client::CourseServiceClient;
use coursevault::proto::job_service_client::JobServiceClient;
use coursevault::proto::restore_service_client::RestoreServiceClient;
use coursevault::proto::transfer_service_client::TransferServiceClient;
use coursevault::proto::*;
use futures::{Stream, StreamExt, TryStreamExt};
use sha2::Digest as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The site that is there from the start.
pub const MAIN: &str = "sites/main";

/// Where a restored course tells its names.
const OF_NAMES: [&str; 4] = [
    "moodle_backup.xml/moodle_backup/information/original_course_fullname",
    "moodle_backup.xml/moodle_backup/information/original_course_shortname",
    "course/course.xml/course/shortname",
    "course/course.xml/course/fullname",
];

/// Bytes of the chunks in which tests send archives.
const CHUNK: usize = 64 << 10;

/// All stubs over one connection. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
}

/// What a download brought.
pub struct Fetched {
    pub header: DownloadHeader,
    pub bytes: Vec<u8>,
    pub finish: DownloadFinish,
}

/// Members of an archive: path to size and digest.
pub type Members = BTreeMap<String, (u64, blake3::Hash)>;

impl Client {
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self { channel: Endpoint::from_shared(url.to_owned())?.connect().await? })
    }

    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    pub fn backups(&self) -> BackupServiceClient<Channel> {
        BackupServiceClient::new(self.channel.clone())
    }

    pub fn courses(&self) -> CourseServiceClient<Channel> {
        CourseServiceClient::new(self.channel.clone())
    }

    pub fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel.clone())
    }

    pub fn restores(&self) -> RestoreServiceClient<Channel> {
        RestoreServiceClient::new(self.channel.clone())
    }

    pub fn transfers(&self) -> TransferServiceClient<Channel> {
        TransferServiceClient::new(self.channel.clone())
    }

    /// Stores an archive with UploadBackup.
    pub async fn upload(&self, bytes: &[u8]) -> Result<Archive, Status> {
        self.send(upload(header("archive.mbz"), bytes)).await
    }

    /// Sends the messages of an UploadBackup.
    pub async fn send(&self, parts: Vec<UploadPart>) -> Result<Archive, Status> {
        let messages = parts.into_iter().map(|part| UploadBackupRequest { part: Some(part) });
        let answer = self.backups().upload_backup(futures::stream::iter(messages)).await?;
        Ok(answer.into_inner().archive.unwrap_or_default())
    }

    /// Opens an upload session.
    pub async fn start_upload(&self) -> Result<Upload, Status> {
        let request =
            StartUploadRequest { parent: MAIN.into(), file_name: "archive.mbz".into(), ..Default::default() };
        Ok(self.transfers().start_upload(request).await?.into_inner().upload.unwrap_or_default())
    }

    /// Sends `bytes` to a session from an offset on, in one stream.
    pub async fn push(&self, upload: &str, offset: usize, bytes: &[u8]) -> Result<i64, Status> {
        let messages = chunk_messages(upload, offset, bytes);
        let answer = self.transfers().upload_chunks(futures::stream::iter(messages)).await?;
        Ok(answer.into_inner().committed_bytes)
    }

    /// An upload session.
    pub async fn session(&self, upload: &str) -> Result<Upload> {
        let answer = self.transfers().get_upload(GetUploadRequest { name: upload.into() }).await?;
        answer.into_inner().upload.context("an upload")
    }

    /// Bytes of a session that are durable.
    pub async fn committed(&self, upload: &str) -> Result<usize> {
        Ok(usize::try_from(self.session(upload).await?.committed_bytes)?)
    }

    /// Ends a session whose bytes are all there.
    pub async fn finish(&self, upload: &str, bytes: &[u8]) -> Result<FinishUploadResponse, Status> {
        let request =
            FinishUploadRequest { name: upload.into(), size_bytes: size(bytes), sha256: sha256(bytes) };
        Ok(self.transfers().finish_upload(request).await?.into_inner())
    }

    /// Streams an archive out.
    pub async fn download(&self, name: &str, container: Container) -> Result<Fetched> {
        self.download_range(name, container, 0, 0).await
    }

    /// Streams a range of an archive out; a limit of 0 means to the end.
    pub async fn download_range(
        &self,
        name: &str,
        container: Container,
        offset: usize,
        limit: usize,
    ) -> Result<Fetched> {
        let request = DownloadArchiveRequest {
            name: name.into(),
            container: container.into(),
            offset: i64::try_from(offset)?,
            limit: i64::try_from(limit)?,
            if_etag: String::new(),
        };
        let answers = self.backups().download_archive(request).await?.into_inner();
        collect(offset, answers.map_ok(|answer| answer.part)).await
    }

    /// Checks that a restored course holds what its archive held, under ids and perhaps names of its own.
    pub async fn holds_the_same(&self, archive: &str, revision: &str) -> Result<()> {
        let request = CompareArchivesRequest {
            a: archive.to_owned(),
            b: revision.to_owned(),
            ignore_ids: true,
            ..CompareArchivesRequest::default()
        };
        let found = self.backups().compare_archives(request.clone()).await?.into_inner().comparison;
        let found = found.context("a comparison")?;
        let is_name =
            |it: &&comparison::Difference| OF_NAMES.contains(&&*format!("{}{}", it.member, it.path));
        let names = found.differences.iter().filter(is_name).count();
        ensure!(found.difference_count == i64::try_from(names)?, "{:#?}", found.differences);
        let with_ids = CompareArchivesRequest { ignore_ids: false, ..request };
        let found = self.backups().compare_archives(with_ids).await?.into_inner().comparison;
        ensure!(!found.context("a comparison")?.same, "the ids are still those of the archive");
        Ok(())
    }

    /// Streams a course or a revision of it out.
    pub async fn download_course(&self, name: &str, container: Container) -> Result<Fetched> {
        use download_course_response::Part as Theirs;
        let request =
            DownloadCourseRequest { name: name.into(), container: container.into(), ..Default::default() };
        let answers = self.courses().download_course(request).await?.into_inner();
        let parts = answers.map_ok(|answer| {
            answer.part.map(|part| match part {
                Theirs::Header(header) => DownloadPart::Header(header),
                Theirs::Chunk(chunk) => DownloadPart::Chunk(chunk),
                Theirs::Finish(finish) => DownloadPart::Finish(finish),
            })
        });
        collect(0, parts).await
    }

    /// Makes an archive the state of a course.
    pub async fn publish(&self, course: &str, archive: &str, parent: &str) -> Result<Revision, Status> {
        let request = PublishRevisionRequest {
            course: course.into(),
            archive: archive.into(),
            expected_parent: parent.into(),
            ..Default::default()
        };
        Ok(self.courses().publish_revision(request).await?.into_inner().revision.unwrap_or_default())
    }

    /// Asks for a backup of everything, as it is: by Moodle's rules nothing is taken out of an archive without users.
    pub async fn backup(&self, course: &str) -> Result<Job, Status> {
        let settings = BackupSettings { preset: "everything".into(), ..Default::default() };
        let compatibility = Compatibility::Moodle.into();
        let options = Some(BackupOptions { settings: Some(settings), compatibility, ..Default::default() });
        let request = CreateBackupRequest { course: course.into(), options, ..Default::default() };
        Ok(self.backups().create_backup(request).await?.into_inner().job.unwrap_or_default())
    }

    /// Asks for a restore into a new course.
    pub async fn restore(&self, archive: &str, course_id: &str) -> Result<Job, Status> {
        let request = restore_request(archive, course_id);
        Ok(self.restores().create_restore(request).await?.into_inner().job.unwrap_or_default())
    }

    /// Asks for a rollback.
    pub async fn rollback(&self, job: &str) -> Result<Job, Status> {
        let request = RollbackRestoreRequest { job: job.into(), ..Default::default() };
        Ok(self.restores().rollback_restore(request).await?.into_inner().job.unwrap_or_default())
    }

    /// The result of a job, which must succeed within a minute.
    pub async fn result_of(&self, job: &Job) -> Result<JobResult> {
        let job = self.ended(&job.name).await?;
        ensure!(job.state() == job::State::Succeeded, "{job:?}");
        job.result.context("a result")
    }

    /// A job when it has ended.
    pub async fn ended(&self, name: &str) -> Result<Job> {
        let timeout = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let answer = self.jobs().wait_job(WaitJobRequest { name: name.into(), timeout }).await?;
        answer.into_inner().job.context("a job")
    }

    /// All archives of the main site, with the deleted ones if wanted.
    pub async fn archives(&self, show_deleted: bool) -> Result<Vec<Archive>> {
        let request =
            ListArchivesRequest { parent: MAIN.into(), page_size: 1000, show_deleted, ..Default::default() };
        Ok(self.backups().list_archives(request).await?.into_inner().archives)
    }

    /// All jobs of the main site.
    pub async fn all_jobs(&self) -> Result<Vec<Job>> {
        let request = ListJobsRequest { parent: MAIN.into(), page_size: 1000, ..Default::default() };
        Ok(self.jobs().list_jobs(request).await?.into_inner().jobs)
    }

    /// One archive.
    pub async fn archive(&self, name: &str) -> Result<Archive> {
        let answer = self.backups().get_archive(GetArchiveRequest { name: name.into() }).await?;
        answer.into_inner().archive.context("an archive")
    }

    /// What the main site holds on its one storage; zeroes when it holds nothing.
    pub async fn report(&self) -> Result<StorageUse> {
        let request = GetStorageReportRequest { parent: MAIN.into() };
        let mut storages = self.admin().get_storage_report(request).await?.into_inner().storages;
        ensure!(storages.len() <= 1, "{storages:?}");
        Ok(storages.pop().unwrap_or_default())
    }
}

type UploadPart = upload_backup_request::Part;
type DownloadPart = download_archive_response::Part;

async fn collect(
    offset: usize,
    parts: impl Stream<Item = Result<Option<DownloadPart>, Status>>,
) -> Result<Fetched> {
    let mut parts = Box::pin(parts);
    let Some(Some(DownloadPart::Header(header))) = parts.next().await.transpose()? else {
        anyhow::bail!("a download begins with its header");
    };
    let mut bytes = Vec::new();
    loop {
        match parts.next().await.transpose()?.flatten().context("a download ends with its finish")? {
            DownloadPart::Chunk(chunk) => {
                ensure!(usize::try_from(chunk.offset)? == offset + bytes.len(), "a gap at {}", chunk.offset);
                ensure!(chunk.crc32 == Some(crc32fast::hash(&chunk.data)), "crc32 at {}", chunk.offset);
                bytes.extend_from_slice(&chunk.data);
            }
            DownloadPart::Finish(finish) => {
                ensure!(usize::try_from(finish.sent_bytes)? == bytes.len(), "{finish:?}");
                ensure!(parts.next().await.is_none(), "the finish is the last message");
                return Ok(Fetched { header, bytes, finish });
            }
            DownloadPart::Header(_) => anyhow::bail!("a second header"),
        }
    }
}

/// A header for the private area of the main site.
pub fn header(file_name: &str) -> UploadHeader {
    UploadHeader { parent: MAIN.into(), file_name: file_name.into(), ..Default::default() }
}

/// The messages of a one-call upload.
pub fn upload(header: UploadHeader, bytes: &[u8]) -> Vec<UploadPart> {
    let mut parts = vec![UploadPart::Header(header)];
    parts.extend(chunks(0, bytes).map(UploadPart::Chunk));
    parts.push(UploadPart::Finish(UploadFinish { size_bytes: size(bytes), sha256: sha256(bytes) }));
    parts
}

/// `bytes` as chunks that begin at `offset` of the whole stream.
pub fn chunks(offset: usize, bytes: &[u8]) -> impl Iterator<Item = Chunk> {
    bytes.chunks(CHUNK).enumerate().map(move |(index, data)| Chunk {
        offset: i64::try_from(offset + index * CHUNK).unwrap_or(i64::MAX),
        data: Bytes::copy_from_slice(data),
        crc32: Some(crc32fast::hash(data)),
    })
}

/// The messages of an UploadChunks.
pub fn chunk_messages(upload: &str, offset: usize, bytes: &[u8]) -> Vec<UploadChunksRequest> {
    use upload_chunks_request::Part;
    std::iter::once(Part::Name(upload.into()))
        .chain(chunks(offset, bytes).map(Part::Chunk))
        .map(|part| UploadChunksRequest { part: Some(part) })
        .collect()
}

/// A restore into a new course.
pub fn restore_request(archive: &str, course_id: &str) -> CreateRestoreRequest {
    let target =
        create_restore_request::Target::NewCourse(NewCourse { course_id: course_id.into(), category: None });
    // As everything is restored, the rules differ only in what they take for lost of an archive that says it holds little.
    let settings = RestoreSettings { enrolments: EnrolmentMethods::Always.into(), ..Default::default() };
    let compatibility = Compatibility::Moodle.into();
    let options = RestoreOptions { settings: Some(settings), compatibility, ..Default::default() };
    let options = Some(options);
    CreateRestoreRequest { archive: archive.into(), target: Some(target), options, ..Default::default() }
}

/// A request id that nobody has used.
pub fn fresh_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

pub fn size(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

pub fn sha256(bytes: &[u8]) -> String {
    coursevault::digest::Sha256(sha2::Sha256::digest(bytes).into()).to_string()
}

/// A request with a deadline.
pub fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// An archive of the fixtures.
pub fn fixture(name: &str) -> Result<Vec<u8>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// Names of all fixtures.
pub fn fixtures() -> Result<Vec<String>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| name.ends_with(".mbz")));
    }
    names.sort();
    ensure!(!names.is_empty(), "no fixtures");
    Ok(names)
}

/// Every member of an archive.
pub fn members(archive: &[u8]) -> Result<Members> {
    let mut sink = Digests::default();
    match read_archive(archive, &Limits::default(), &mut sink) {
        Ok(summary) => ensure!(sink.members.len() as u64 == summary.members, "{summary:?}"),
        Err(error) => anyhow::bail!("{error}"),
    }
    Ok(sink.members)
}

#[derive(Default)]
struct Digests {
    members: Members,
    current: Option<(String, blake3::Hasher)>,
}

impl MemberSink for Digests {
    type Error = Infallible;

    fn start(&mut self, path: &MemberPath, _declared: Option<u64>, _raw: bool) -> Result<(), Infallible> {
        self.current = Some((path.to_string(), blake3::Hasher::new()));
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.current.as_mut().map(|(_, hasher)| hasher.update(bytes));
        Ok(())
    }

    fn raw(&mut self, _bytes: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn finish(&mut self, end: MemberEnd) -> Result<(), Infallible> {
        if let Some((path, hasher)) = self.current.take() {
            self.members.insert(path, (end.size, hasher.finalize()));
        }
        Ok(())
    }
}
