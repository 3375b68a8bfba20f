//! Messages of the protos as JSON: the proto's field names, enums by name, 64-bit numbers as numbers, times as RFC 3339.
//! Made from the descriptors, so a new field is in the output without a line here.

use std::sync::OnceLock;

use anyhow::{Context as _, anyhow};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::proto;

/// A message that knows its name in the protos.
pub trait Named: Message {
    /// Full name of the message.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:ident),* $(,)?) => {$(
        impl Named for proto::$message {
            const NAME: &'static str = concat!("coursevault.v1.", stringify!($message));
        }
    )*};
}

named!(
    Archive,
    ArchiveMember,
    BackupPlan,
    Garbage,
    RestorePlan,
    Comparison,
    Course,
    FinishUploadResponse,
    GetServerInfoResponse,
    RetentionPolicy,
    RetentionPreview,
    RunRetentionResponse,
    RunScheduleResponse,
    Schedule,
    GetStorageReportResponse,
    ImportUsersResponse,
    Inspection,
    Job,
    PublishRevisionResponse,
    Revision,
    Site,
    Upload,
    User,
);

fn pool() -> anyhow::Result<&'static DescriptorPool> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(proto::DESCRIPTOR_SET).map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|error| anyhow!("descriptors of the protos: {error}"))
}

/// A message as JSON.
pub fn value<M: Named>(message: &M) -> anyhow::Result<Value> {
    let descriptor =
        pool()?.get_message_by_name(M::NAME).with_context(|| format!("no message {}", M::NAME))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// Messages as a JSON array.
pub fn values<M: Named>(messages: &[M]) -> anyhow::Result<Value> {
    messages.iter().map(value).collect::<anyhow::Result<Vec<_>>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_names_and_numbers() -> anyhow::Result<()> {
        let archive = proto::Archive {
            name: "sites/main/archives/x".into(),
            area: proto::Area::DropZone.into(),
            content_bytes: 1 << 40,
            create_time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            forms: vec![proto::ArchiveForm { size_bytes: 7, ..Default::default() }],
            ..Default::default()
        };
        let json = value(&archive)?;
        assert_eq!(json["area"], "AREA_DROP_ZONE");
        assert_eq!(json["content_bytes"], 1_i64 << 40);
        assert_eq!(json["create_time"], "1970-01-01T00:00:00Z");
        assert_eq!(json["forms"][0]["size_bytes"], 7);
        assert_eq!(json["anonymized"], false);
        Ok(())
    }

    #[test]
    fn every_named_message_is_in_the_protos() -> anyhow::Result<()> {
        value(&proto::ArchiveMember::default())?;
        value(&proto::Comparison::default())?;
        value(&proto::Course::default())?;
        value(&proto::FinishUploadResponse::default())?;
        value(&proto::GetServerInfoResponse::default())?;
        value(&proto::GetStorageReportResponse::default())?;
        value(&proto::Inspection::default())?;
        value(&proto::Job::default())?;
        value(&proto::PublishRevisionResponse::default())?;
        value(&proto::Revision::default())?;
        value(&proto::Site::default())?;
        value(&proto::Upload::default())?;
        Ok(())
    }
}
