//! What a local archive's manifest tells, in the form in which a server tells it: one page and one JSON for both.

use crate::clock::Timestamp;
use crate::moodle::{ArchiveType, Manifest};
use crate::proto::{self, Inspection};

/// The manifest as an inspection. Members and findings are not the manifest's to tell.
pub fn told_by(manifest: Manifest) -> Inspection {
    let (includes_users, anonymized) = (manifest.includes_users(), manifest.is_anonymized());
    let archive_type = match manifest.archive_type {
        ArchiveType::Course => proto::ArchiveType::Course,
        ArchiveType::Section => proto::ArchiveType::Section,
        ArchiveType::Activity => proto::ArchiveType::Activity,
    };
    let site = manifest.original_site;
    let course = manifest.original_course;
    Inspection {
        r#type: archive_type.into(),
        format: manifest.format,
        mode: manifest.mode,
        interactive: manifest.interactive,
        execution: manifest.execution,
        backup_id: manifest.backup_id,
        file_name: manifest.file_name,
        backup_time: manifest.backup_time.map(stamp),
        moodle_version: manifest.moodle_version,
        moodle_release: manifest.moodle_release,
        backup_version: manifest.backup_version,
        backup_release: manifest.backup_release,
        original_site: Some(proto::OriginalSite {
            wwwroot: site.wwwroot,
            identifier_hash: site.identifier_hash,
            system_context_id: site.system_context_id,
        }),
        original_course: Some(proto::OriginalCourse {
            id: course.id,
            format: course.format,
            full_name: course.full_name,
            short_name: course.short_name,
            start_time: course.start_time.map(stamp),
            end_time: course.end_time.map(stamp),
            context_id: course.context_id,
        }),
        includes_files: manifest.includes_files,
        includes_file_references: manifest.includes_file_references,
        includes_remote_users: manifest.includes_remote_users,
        includes_users,
        anonymized,
        settings: manifest.settings.into_iter().map(setting).collect(),
        sections: manifest.sections.into_iter().map(section).collect(),
        activities: manifest.activities.into_iter().map(activity).collect(),
        findings: Vec::new(),
        member_count: 0,
        content_bytes: 0,
    }
}

fn stamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.secs(), nanos: 0 }
}

fn setting(setting: crate::moodle::Setting) -> proto::InspectedSetting {
    proto::InspectedSetting {
        level: setting.level.as_str().to_owned(),
        item: setting.item,
        name: setting.name,
        value: setting.value,
    }
}

fn section(section: crate::moodle::Section) -> proto::InspectedSection {
    proto::InspectedSection {
        section_id: section.section_id,
        title: section.title,
        directory: section.directory,
        included: section.included,
        includes_user_data: section.includes_user_data,
    }
}

fn activity(activity: crate::moodle::Activity) -> proto::InspectedActivity {
    proto::InspectedActivity {
        module_id: activity.module_id,
        section_id: activity.section_id,
        module_name: activity.module_name,
        title: activity.title,
        directory: activity.directory,
        included: activity.included,
        includes_user_data: activity.includes_user_data,
    }
}
