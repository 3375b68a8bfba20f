//! What each call needs. A call that is not here is refused.

use crate::capability::Capability;

/// What a call of our services needs, by its path such as `/coursevault.v1.BackupService/GetArchive`.
pub fn permission(path: &str) -> Option<Capability> {
    Some(match path.strip_prefix("/coursevault.v1.")? {
        "BackupService/UploadBackup"
        | "RestoreService/UploadArchive"
        | "TransferService/StartUpload"
        | "TransferService/UploadChunks"
        | "TransferService/GetUpload"
        | "TransferService/FinishUpload"
        | "TransferService/AbortUpload" => Capability::UploadFile,
        "BackupService/CreateBackup" | "BackupService/PlanBackup" => Capability::BackupCourse,
        "BackupService/ConvertArchive" => Capability::BackupCourse,
        "BackupService/GetArchive"
        | "BackupService/ListArchives"
        | "BackupService/ListArchiveMembers"
        | "BackupService/InspectArchive" => Capability::ArchiveView,
        "BackupService/VerifyArchive" => Capability::ArchiveVerify,
        "BackupService/UpdateArchive" | "BackupService/DeleteArchive" | "BackupService/UndeleteArchive" => {
            Capability::ManageFiles
        }
        "BackupService/PlaceHold" | "BackupService/ReleaseHold" => Capability::ArchiveHold,
        "BackupService/ShareArchive" | "BackupService/UnshareArchive" => Capability::ArchiveShare,
        "BackupService/DownloadArchive"
        | "BackupService/ReadArchiveMember"
        | "BackupService/CompareArchives" => Capability::DownloadFile,
        "RestoreService/CopyCourse" => Capability::CourseCreate,
        "RestoreService/PlanRestore" | "RestoreService/CreateRestore" | "RestoreService/RollbackRestore" => {
            Capability::RestoreCourse
        }
        "CourseService/GetCourse"
        | "CourseService/ListCourses"
        | "CourseService/GetRevision"
        | "CourseService/ListRevisions" => Capability::CourseView,
        "CourseService/DownloadCourse" => Capability::DownloadFile,
        "CourseService/PublishRevision" => Capability::CourseUpdate,
        "JobService/GetJob" | "JobService/ListJobs" | "JobService/WaitJob" | "JobService/WatchJob" => {
            Capability::JobView
        }
        "JobService/CancelJob" | "JobService/RetryJob" => Capability::JobManage,
        "AdminService/CreateSite" | "AdminService/UpdateSite" => Capability::SiteConfig,
        "AdminService/VerifyArchives" => Capability::SiteVerify,
        "AdminService/ImportUsers" => Capability::UserUpload,
        "AdminService/GetUser" | "AdminService/ListUsers" => Capability::UserView,
        "AdminService/DeleteUsers" => Capability::UserDelete,
        "AdminService/ImportRoles" | "AdminService/ListRoles" => Capability::RoleManage,
        "AdminService/GetSite" | "AdminService/ListSites" | "AdminService/GetServerInfo" => {
            Capability::SiteView
        }
        "AdminService/ListAuditEntries" => Capability::AuditView,
        "AdminService/GetStorageReport" => Capability::SiteReport,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::BuiltInRole;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    #[test]
    fn every_call_of_the_protos_has_an_entry() -> Result<(), prost::DecodeError> {
        let set = FileDescriptorSet::decode(crate::proto::DESCRIPTOR_SET)?;
        let (mut calls, mut table) = (0, Vec::new());
        for file in set.file.iter().filter(|file| file.package() == "coursevault.v1") {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/coursevault.v1.{}/{}", service.name(), method.name());
                    let needed = permission(&path);
                    assert!(needed.is_some(), "{path} has no permission");
                    let call = format!("{}/{}", service.name(), method.name());
                    table.extend(needed.map(|needed| (call, needed)));
                    calls += 1;
                }
            }
        }
        assert!(calls > 30);
        let told = include_str!("../../docs/permissions.md");
        let mut rows: Vec<String> =
            table.into_iter().map(|(call, needed)| format!("| `{call}` | `{needed}` |")).collect();
        for capability in Capability::ALL {
            let has = |role: BuiltInRole| if role.capabilities().contains(*capability) { "x" } else { "" };
            let [teacher, manager, administrator, service, auditor] = BuiltInRole::ALL.map(has);
            let roles = [teacher, manager, service, auditor, administrator].join(" | ");
            rows.push(format!("| `{capability}` | {roles} |"));
        }
        for row in rows {
            assert!(told.contains(&row), "docs/permissions.md lacks the row {row}");
        }
        assert_eq!(permission("/coursevault.v1.BackupService/Other"), None);
        Ok(())
    }
}
