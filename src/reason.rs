//! The stable reasons for which the service refuses or fails. Callers decide by them; messages are for people.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Why something was refused or failed: `reason` of google.rpc.ErrorInfo, and of a job's problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason as callers see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The reason of that text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// A field of the request is missing or malformed.
    FieldInvalid = "FIELD_INVALID",
    /// A page token that this list did not hand out for these arguments.
    PageTokenInvalid = "PAGE_TOKEN_INVALID",
    /// The request id was used for a different request before.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// No credentials where some are needed.
    CredentialsMissing = "CREDENTIALS_MISSING",
    /// Credentials that nobody has.
    CredentialsInvalid = "CREDENTIALS_INVALID",
    /// The principal may not do this, whether the thing exists or not.
    PermissionDenied = "PERMISSION_DENIED",

    /// No such site.
    SiteNotFound = "SITE_NOT_FOUND",
    /// No such course.
    CourseNotFound = "COURSE_NOT_FOUND",
    /// No such revision.
    RevisionNotFound = "REVISION_NOT_FOUND",
    /// No such archive.
    ArchiveNotFound = "ARCHIVE_NOT_FOUND",
    /// No such member in the archive.
    MemberNotFound = "MEMBER_NOT_FOUND",
    /// No such upload session.
    UploadNotFound = "UPLOAD_NOT_FOUND",
    /// No such job.
    JobNotFound = "JOB_NOT_FOUND",
    /// No such account in the site's directory.
    UserNotFound = "USER_NOT_FOUND",
    /// No such retention policy.
    PolicyNotFound = "POLICY_NOT_FOUND",
    /// There is a retention policy of that id, or for exactly those archives, already.
    PolicyExists = "POLICY_EXISTS",
    /// The site has as many policies as it can have.
    LimitPolicies = "LIMIT_POLICIES",
    /// The site exists already.
    SiteExists = "SITE_EXISTS",
    /// The course exists already.
    CourseExists = "COURSE_EXISTS",

    /// The archive is deleted; it can be undeleted.
    ArchiveDeleted = "ARCHIVE_DELETED",
    /// The archive is not deleted.
    ArchiveNotDeleted = "ARCHIVE_NOT_DELETED",
    /// The archive is held, so it cannot be deleted, nor held once more.
    ArchiveHeld = "ARCHIVE_HELD",
    /// The archive is not held.
    ArchiveNotHeld = "ARCHIVE_NOT_HELD",
    /// The archive is not shared with that principal.
    ArchiveNotShared = "ARCHIVE_NOT_SHARED",
    /// The archive is shared with as many principals as it can be.
    LimitShares = "LIMIT_SHARES",
    /// The archive holds something that cannot be used so, such as a cartridge for a course.
    ArchiveTypeUnsupported = "ARCHIVE_TYPE_UNSUPPORTED",
    /// The course is deleted.
    CourseDeleted = "COURSE_DELETED",
    /// The course has no state yet.
    CourseEmpty = "COURSE_EMPTY",
    /// Other work on the course must end first.
    CourseBusy = "COURSE_BUSY",
    /// The resource changed since the caller saw it.
    EtagMismatch = "ETAG_MISMATCH",
    /// A document of the course's state, or of the archive, cannot be read.
    DocumentInvalid = "DOCUMENT_INVALID",
    /// Something that was found before a restore blocks it; the findings say what.
    RestoreBlocked = "RESTORE_BLOCKED",
    /// What would destroy contents needs the token of its plan.
    PlanRequired = "PLAN_REQUIRED",
    /// What would destroy contents needs the name of the course.
    CourseNameRequired = "COURSE_NAME_REQUIRED",
    /// The plan is of another state of the course, or of another request.
    PlanStale = "PLAN_STALE",
    /// The live revision is another one than the caller expected.
    RevisionConflict = "REVISION_CONFLICT",
    /// The course has newer revisions than the restore's.
    RestoreSuperseded = "RESTORE_SUPERSEDED",
    /// The job is no restore that succeeded, or it was undone already.
    RestoreNotUndoable = "RESTORE_NOT_UNDOABLE",
    /// The archive comes from another platform than the one that the site stands for.
    PlatformMismatch = "PLATFORM_MISMATCH",
    /// The directory changed while something was about to be written to it.
    DirectoryConflict = "DIRECTORY_CONFLICT",
    /// The job has ended.
    JobEnded = "JOB_ENDED",
    /// Only failed and cancelled jobs can run again.
    JobNotRetryable = "JOB_NOT_RETRYABLE",
    /// The job was asked to stop.
    JobCancelled = "JOB_CANCELLED",
    /// The job's worker vanished too often.
    JobAttemptsExhausted = "JOB_ATTEMPTS_EXHAUSTED",
    /// Another worker took the job over.
    JobLeaseLost = "JOB_LEASE_LOST",

    /// The upload session is finished or given up.
    UploadNotOpen = "UPLOAD_NOT_OPEN",
    /// Another stream writes to the upload session.
    UploadBusy = "UPLOAD_BUSY",
    /// The chunk begins beyond the bytes that are there.
    UploadOffsetMismatch = "UPLOAD_OFFSET_MISMATCH",
    /// The messages of the stream came in the wrong order.
    UploadProtocol = "UPLOAD_PROTOCOL",
    /// The stream ended before its last message.
    UploadIncomplete = "UPLOAD_INCOMPLETE",
    /// The bytes have another SHA-256 than announced.
    DigestMismatch = "DIGEST_MISMATCH",
    /// There are more or fewer bytes than announced.
    SizeMismatch = "SIZE_MISMATCH",
    /// A chunk has another CRC-32 than announced.
    ChunkDigestMismatch = "CHUNK_DIGEST_MISMATCH",
    /// A range that lies beyond the end.
    OffsetOutOfRange = "OFFSET_OUT_OF_RANGE",

    /// Neither zip nor gzip-compressed tar.
    ArchiveFormatUnsupported = "ARCHIVE_FORMAT_UNSUPPORTED",
    /// The archive ends too early.
    ArchiveTruncated = "ARCHIVE_TRUNCATED",
    /// The archive contradicts itself: a checksum, a size, a header.
    ArchiveCorrupt = "ARCHIVE_CORRUPT",
    /// Two readers could see different contents.
    ArchiveAmbiguous = "ARCHIVE_AMBIGUOUS",
    /// A member is encrypted.
    ArchiveEncrypted = "ARCHIVE_ENCRYPTED",
    /// A member is compressed in a way other than deflate.
    ArchiveMethodUnsupported = "ARCHIVE_METHOD_UNSUPPORTED",
    /// Neither `moodle_backup.xml` nor `imsmanifest.xml` at the root.
    ArchiveManifestMissing = "ARCHIVE_MANIFEST_MISSING",
    /// `moodle_backup.xml` cannot be understood.
    ArchiveManifestInvalid = "ARCHIVE_MANIFEST_INVALID",
    /// A path that leaves the archive or cannot be kept.
    MemberPathInvalid = "MEMBER_PATH_INVALID",
    /// Two members of one path, or of paths that differ only in letter case or in Unicode form.
    MemberDuplicate = "MEMBER_DUPLICATE",
    /// A link, a device or another thing that is neither file nor folder.
    MemberKindUnsupported = "MEMBER_KIND_UNSUPPORTED",
    /// More bytes than one upload may have.
    LimitUploadBytes = "LIMIT_UPLOAD_BYTES",
    /// More members than an archive may have.
    LimitMembers = "LIMIT_MEMBERS",
    /// A member is larger than it may be.
    LimitMemberBytes = "LIMIT_MEMBER_BYTES",
    /// The archive's contents are larger than they may be.
    LimitContentBytes = "LIMIT_CONTENT_BYTES",
    /// The archive unpacks to suspiciously much.
    LimitRatio = "LIMIT_RATIO",
    /// A path is longer or deeper than it may be.
    LimitPath = "LIMIT_PATH",
    /// `moodle_backup.xml` is larger than it may be.
    LimitManifestBytes = "LIMIT_MANIFEST_BYTES",
    /// XML is nested deeper than it may be.
    LimitXmlDepth = "LIMIT_XML_DEPTH",
    /// More accounts or roles than one import may have.
    LimitImportRows = "LIMIT_IMPORT_ROWS",
    /// A chunk is larger than it may be.
    LimitChunkBytes = "LIMIT_CHUNK_BYTES",
    /// The archive cannot be written in this container: a member of 8 GiB does not fit Moodle's tar.
    ContainerUnsuitable = "CONTAINER_UNSUITABLE",

    /// The storage does not answer.
    StorageUnavailable = "STORAGE_UNAVAILABLE",
    /// The storage has no room left.
    StorageFull = "STORAGE_FULL",
    /// The storage does not hold what it should.
    StorageCorrupt = "STORAGE_CORRUPT",
    /// What this relied on was cleared away while it ran; the same call stores it anew.
    StorageChanged = "STORAGE_CHANGED",
    /// Most of what is stored would go, or another deployment stores there, too.
    CollectionRefused = "COLLECTION_REFUSED",
    /// The catalog does not answer.
    CatalogUnavailable = "CATALOG_UNAVAILABLE",
    /// The catalog holds a row that cannot be.
    CatalogCorrupt = "CATALOG_CORRUPT",
    /// Too much at once.
    Overloaded = "OVERLOADED",
    /// The server is stopping.
    ShuttingDown = "SHUTTING_DOWN",
    /// A defect of the service.
    Internal = "INTERNAL",
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn texts_are_upper_snake_and_round_trip() {
        for reason in Reason::ALL {
            let text = reason.as_str();
            assert!(text.len() <= 63 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{text}");
            assert_eq!(Reason::parse(text), Some(*reason));
        }
    }
}
