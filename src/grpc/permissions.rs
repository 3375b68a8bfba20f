//! What each call needs. Named after Moodle's capabilities where it has one. A call that is not here is refused.

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The capability, as the record and refusals name it.
    pub capability: &'static str,
    /// Whether only administrators have it.
    pub administrators_only: bool,
}

const fn any(capability: &'static str) -> Option<Permission> {
    Some(Permission { capability, administrators_only: false })
}

const fn administrators(capability: &'static str) -> Option<Permission> {
    Some(Permission { capability, administrators_only: true })
}

/// What a call of our services needs, by its path such as `/coursevault.v1.BackupService/GetArchive`.
pub fn permission(path: &str) -> Option<Permission> {
    match path.strip_prefix("/coursevault.v1.")? {
        "BackupService/UploadBackup"
        | "RestoreService/UploadArchive"
        | "TransferService/StartUpload"
        | "TransferService/UploadChunks"
        | "TransferService/GetUpload"
        | "TransferService/FinishUpload"
        | "TransferService/AbortUpload" => any("moodle/restore:uploadfile"),
        "BackupService/CreateBackup" | "BackupService/PlanBackup" => any("moodle/backup:backupcourse"),
        "BackupService/ConvertArchive" => any("moodle/backup:backupcourse"),
        "BackupService/GetArchive"
        | "BackupService/ListArchives"
        | "BackupService/ListArchiveMembers"
        | "BackupService/InspectArchive" => any("coursevault/archive:view"),
        "BackupService/VerifyArchive" => any("coursevault/archive:verify"),
        "BackupService/UpdateArchive" | "BackupService/DeleteArchive" | "BackupService/UndeleteArchive" => {
            any("moodle/restore:managefiles")
        }
        "BackupService/PlaceHold" | "BackupService/ReleaseHold" => any("coursevault/archive:hold"),
        "BackupService/ShareArchive" | "BackupService/UnshareArchive" => any("coursevault/archive:share"),
        "BackupService/DownloadArchive"
        | "BackupService/ReadArchiveMember"
        | "BackupService/CompareArchives" => any("moodle/backup:downloadfile"),
        "RestoreService/ImportCourse" => any("moodle/restore:restoretargetimport"),
        "RestoreService/CopyCourse" => any("moodle/course:create"),
        "RestoreService/PlanRestore"
        | "RestoreService/ListUserConflicts"
        | "RestoreService/CreateRestore"
        | "RestoreService/RollbackRestore" => any("moodle/restore:restorecourse"),
        "CourseService/GetCourse"
        | "CourseService/ListCourses"
        | "CourseService/GetRevision"
        | "CourseService/ListRevisions" => any("moodle/course:view"),
        "CourseService/DownloadCourse" => any("moodle/backup:downloadfile"),
        "CourseService/PublishRevision" | "CourseService/ReportCourseChanges" => any("moodle/course:update"),
        "JobService/GetJob" | "JobService/ListJobs" | "JobService/WaitJob" | "JobService/WatchJob" => {
            any("coursevault/job:view")
        }
        "JobService/CancelJob" | "JobService/RetryJob" => any("coursevault/job:manage"),
        "AdminService/CreateSite" | "AdminService/UpdateSite" => administrators("moodle/site:config"),
        "AdminService/CollectGarbage" => administrators("coursevault/storage:manage"),
        "AdminService/VerifyArchives" => administrators("coursevault/archive:verify"),
        "AdminService/ImportUsers" => administrators("moodle/site:uploadusers"),
        "AdminService/GetUser" | "AdminService/ListUsers" => administrators("moodle/user:viewalldetails"),
        "AdminService/DeleteUsers" => administrators("moodle/user:delete"),
        "AdminService/ImportRoles" | "AdminService/ListRoles" => administrators("moodle/role:manage"),
        "PolicyService/GetRetentionPolicy"
        | "PolicyService/ListRetentionPolicies"
        | "PolicyService/GetSchedule" => any("coursevault/site:view"),
        "PolicyService/CreateRetentionPolicy"
        | "PolicyService/UpdateRetentionPolicy"
        | "PolicyService/DeleteRetentionPolicy"
        | "PolicyService/PreviewRetention"
        | "PolicyService/RunRetention"
        | "PolicyService/UpdateSchedule"
        | "PolicyService/RunSchedule" => administrators("coursevault/policy:manage"),
        "AdminService/GetSite"
        | "AdminService/ListSites"
        | "AdminService/GetServerInfo"
        | "AdminService/GetStorageReport" => any("coursevault/site:view"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    #[test]
    fn every_call_of_the_protos_has_an_entry() -> Result<(), prost::DecodeError> {
        let set = FileDescriptorSet::decode(crate::proto::DESCRIPTOR_SET)?;
        let mut calls = 0;
        for file in set.file.iter().filter(|file| file.package() == "coursevault.v1") {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/coursevault.v1.{}/{}", service.name(), method.name());
                    assert!(permission(&path).is_some(), "{path} has no permission");
                    calls += 1;
                }
            }
        }
        assert!(calls > 30);
        assert_eq!(permission("/coursevault.v1.BackupService/Other"), None);
        Ok(())
    }
}
