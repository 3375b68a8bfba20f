//! What must hold between the parts: bytes, rows and jobs, when one of them fails or two callers meet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::intake::Event;
use super::stage::Stager;
use super::{Arriving, Call, Engine, Error, JobContext, RequestKey, Rules};
use crate::archive::MemberEnd;
use crate::catalog::{Catalog, CatalogClock, CatalogConfig, UploadState};
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::course::{Encoding, MemberPath};
use crate::digest::Digest;
use crate::ids::{JobName, SiteId, UploadName};
use crate::job::{Area, JobState};
use crate::limits::{Care, Limits};
use crate::principal::Principal;
use crate::reason::Reason;
use crate::vault::fault::{Fault, Faults, Operation};
use crate::vault::{Storage, StorageConfig, Vault};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// An engine on a catalog of its own and a storage that fails as it is told.
pub(super) struct Ground {
    pub clock: Arc<ManualClock>,
    pub engine: Engine,
    pub faults: Faults,
    pub site: SiteId,
    _folder: tempfile::TempDir,
}

impl Ground {
    /// `lease`: how long a claim or a writer is safe; none lets everybody take over at once.
    pub async fn new(lease: Duration) -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite:{}", folder.path().join("catalog.db").display()).into();
        let config = CatalogConfig { url, max_connections: 2 };
        let catalog = Catalog::open(&config, CatalogClock::Database).await?;
        let (faults, storage) = (Faults::default(), crate::config::storage_primary());
        let store = Storage::open(&storage, &StorageConfig::memory())?.with_faults(&faults);
        let vault = Vault::of([(storage.clone(), store)].into());
        let limits = Limits::default();
        let hour = Duration::from_secs(3600);
        let format = crate::format::Format::embedded();
        let rules = Rules {
            limits,
            care: Care::default(),
            storage,
            grace: hour,
            longest_share: hour,
            upload_idle: hour,
            lease,
            format,
            area_storages: std::collections::BTreeMap::new(),
        };
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let engine = Engine::new(catalog, vault, Arc::<ManualClock>::clone(&clock), rules);
        let site: SiteId = "main".parse()?;
        engine.ensure_site(&site).await?;
        Ok(Self { clock, engine, faults, site, _folder: folder })
    }

    pub fn call(&self) -> Call {
        Call::by(Principal::local())
    }

    pub async fn open(&self) -> Result<UploadName, Error> {
        let arriving = Arriving {
            site: self.site.clone(),
            area: Area::DropZone,
            course: None,
            file_name: "a.mbz".into(),
            owner: "local".into(),
            job: None,
        };
        let row = self.engine.start_upload(&self.call(), arriving).await?;
        Ok(UploadName { site: row.site, upload: row.upload })
    }

    /// All bytes of an upload, as a job would read them.
    pub async fn bytes_of(&self, name: &UploadName) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let upload = self.engine.get_upload(name).await?;
        let storage = self.engine.vault().storage(&upload.storage)?;
        let mut all = Vec::new();
        for part in self.engine.catalog().list_parts(&name.site, &name.upload).await? {
            all.extend_from_slice(
                &storage.read_part(&name.site, &name.upload, part.offset, part.size).await?,
            );
        }
        Ok(all)
    }
}

/// Bytes of which no part equals another.
fn pattern(size: usize) -> Bytes {
    (0..size / 4).flat_map(|n| u32::try_from(n).unwrap_or(0).to_be_bytes()).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn after_a_part_that_failed_no_later_bytes_take_its_place() -> Outcome {
    let ground = Ground::new(Duration::from_secs(30)).await?;
    let name = ground.open().await?;
    let bytes = pattern(20 << 20);
    let mut stream = ground.engine.open_upload_stream(&name).await?;
    ground.faults.fail(Operation::Put, 1, Fault::Full);
    let mut refused = None;
    for at in (0..bytes.len()).step_by(1 << 20) {
        let chunk = bytes.slice(at..at + (1 << 20));
        if let Err(error) = stream.push(at as u64, chunk).await {
            refused = Some(error.reason);
            break;
        }
    }
    let closed = stream.close().await;
    assert!(refused.or(closed.as_ref().err().map(|e| e.reason)) == Some(Reason::StorageFull));
    // The session is free at once, and what it counts is a beginning of what was sent.
    let mut again = ground.engine.open_upload_stream(&name).await?;
    let from = usize::try_from(ground.engine.get_upload(&name).await?.committed_bytes)?;
    assert!(ground.bytes_of(&name).await? == bytes[..from]);
    again.push(from as u64, bytes.slice(from..)).await?;
    assert_eq!(again.close().await?, bytes.len() as u64);
    assert!(ground.bytes_of(&name).await? == bytes);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_was_replaced_touches_no_bytes_of_its_successor() -> Outcome {
    let ground = Ground::new(Duration::ZERO).await?;
    let name = ground.open().await?;
    let mut hanging = ground.engine.open_upload_stream(&name).await?;
    hanging.push(0, Bytes::from_static(b"half")).await?;
    let mut next = ground.engine.open_upload_stream(&name).await?;
    next.push(0, Bytes::from_static(b"half and more")).await?;
    assert_eq!(next.close().await?, 13);
    let late = hanging.close().await.map_err(|error| error.reason);
    assert_eq!(late, Err(Reason::UploadBusy));
    assert_eq!(ground.bytes_of(&name).await?, b"half and more");
    Ok(())
}

#[tokio::test]
async fn finishing_twice_at_once_asks_for_one_job() -> Outcome {
    let ground = Ground::new(Duration::from_secs(30)).await?;
    let name = ground.open().await?;
    let mut stream = ground.engine.open_upload_stream(&name).await?;
    stream.push(0, Bytes::from_static(b"no archive")).await?;
    stream.close().await?;
    let (call, sha256) = (ground.call(), crate::digest::Sha256([0; 32]));
    let finish = || ground.engine.finish_upload(&call, &name, 10, sha256);
    let (one, two) = tokio::join!(finish(), finish());
    assert_eq!(one?.job, two?.job);
    Ok(())
}

#[tokio::test]
async fn an_upload_opens_again_when_its_cancelled_job_lost_its_worker() -> Outcome {
    let ground = Ground::new(Duration::ZERO).await?;
    let name = ground.open().await?;
    let job = ground.engine.finish_upload(&ground.call(), &name, 0, crate::digest::Sha256([0; 32])).await?;
    let job = JobName { site: job.site, job: job.job };
    assert!(ground.engine.claim_job("vanishes").await?.is_some());
    ground.engine.cancel_job(&ground.call(), &job).await?;
    let Some(taken) = ground.engine.claim_job("comes").await? else {
        return Err("nothing to take over".into());
    };
    assert_eq!(taken.job.state, JobState::Cancelling);
    let stopped = Error::new(Reason::JobCancelled, "the job was cancelled");
    ground.engine.settle_unsuccessful(&taken.job, &JobContext::new(&taken), &stopped).await?;
    assert_eq!(ground.engine.get_upload(&name).await?.state, UploadState::Open);
    Ok(())
}

#[tokio::test]
async fn a_tree_is_kept_as_it_is_though_a_member_has_its_bytes() -> Outcome {
    let ground = Ground::new(Duration::from_secs(30)).await?;
    let place = ground.engine.place(&ground.site, crate::job::Area::Course);
    let storage = ground.engine.storage(&place)?.clone();
    let (catalog, limits) = (ground.engine.catalog().clone(), ground.engine.limits().clone());
    let handle = tokio::runtime::Handle::current();
    let stage = move |plain: Vec<u8>| {
        let mut stager = Stager::new(handle, catalog, place, &storage, limits.clone());
        let end = MemberEnd { size: plain.len() as u64, crc32: crc32fast::hash(&plain), raw_size: None };
        let path = MemberPath::parse("files/block", &limits)
            .map_err(|_| Error::new(Reason::Internal, "the path is none"))?;
        stager.take(Event::Whole { path, plain: plain.clone(), raw: None, end })?;
        stager.finish(|_| Ok(plain))
    };
    let plain = vec![7; 9_000];
    let digest = Digest::of(&plain);
    let staged = tokio::task::spawn_blocking(move || stage(plain)).await??;
    let forms: Vec<_> = (staged.packs.written.iter().flat_map(|pack| &pack.items))
        .map(|packed| packed.item.content)
        .filter(|content| content.digest == digest)
        .map(|content| content.encoding)
        .collect();
    assert_eq!(forms, [Encoding::Deflate, Encoding::Stored]);
    Ok(())
}

#[tokio::test]
async fn one_call_that_comes_twice_at_once_has_one_effect_and_one_answer() -> Outcome {
    let ground = Ground::new(Duration::from_secs(30)).await?;
    let engine = &ground.engine;
    let key = RequestKey { method: "CreateSite", id: "1".into(), body: Digest::of(b"new") };
    let call = Call { principal: Principal::local(), request: Some(key) };
    let new: SiteId = "new".parse()?;
    let plain = super::SiteChange::default();
    let create = || engine.once(&call, || engine.create_site(&call, &new, &plain));
    let (one, two) = tokio::join!(create(), create());
    assert_eq!(one?, two?);
    let other = RequestKey { method: "CreateSite", id: "1".into(), body: Digest::of(b"other") };
    let call = Call { principal: Principal::local(), request: Some(other) };
    let refused = engine.once(&call, || engine.create_site(&call, &new, &plain)).await;
    assert_eq!(refused.map_err(|error| error.reason), Err(Reason::RequestIdReused));
    Ok(())
}

#[tokio::test]
async fn sweeping_removes_what_nobody_comes_back_for() -> Outcome {
    let ground = Ground::new(Duration::ZERO).await?;
    let (idle, crashed, busy) = (ground.open().await?, ground.open().await?, ground.open().await?);
    for name in [&idle, &crashed] {
        let mut stream = ground.engine.open_upload_stream(name).await?;
        stream.push(0, Bytes::from_static(b"some")).await?;
        stream.close().await?;
    }
    // The storage fails while a session is given up: its bytes stay for now.
    ground.faults.fail(Operation::List, 1, Fault::Unavailable);
    ground.engine.abort_upload(&crashed).await?;
    assert_eq!(ground.bytes_of(&crashed).await?, b"some");
    ground.clock.advance(Duration::from_secs(3601));
    let mut stream = ground.engine.open_upload_stream(&busy).await?;
    stream.push(0, Bytes::from_static(b"more")).await?;
    stream.close().await?;
    assert_eq!(ground.engine.sweep(false).await.uploads, 1);
    let storage = ground.engine.vault().storage(&crate::config::storage_primary())?;
    for name in [&idle, &crashed] {
        assert_eq!(ground.engine.get_upload(name).await?.state, UploadState::Aborted);
        assert_eq!(storage.list_parts(&name.site, &name.upload).await?, []);
        assert_eq!(ground.bytes_of(name).await?, b"");
    }
    assert_eq!(ground.bytes_of(&busy).await?, b"more");
    Ok(())
}
