//! Tokens that an issuer signed, through the front door: whom they name, and every way in which one is not believed.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coursevault::clock::{Clock, SystemClock};
use coursevault::config::{IssuerConfig, PrincipalConfig};
use coursevault::proto::*;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::{Code, Request, Status};

use crate::app::{TestApp, eventually};
use crate::client::*;
use crate::errors::{reason, refused};

const ISSUER: &str = "https://idp.example.org";

/// A key of an issuer.
struct Key {
    id: &'static str,
    pair: KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Result<Self> {
        Ok(Self { id, pair: KeyPair::generate()? })
    }

    fn public(&self) -> Result<Value> {
        // A point of the curve P-256: 4, then x, then y.
        let point = self.pair.public_key_raw();
        let (x, y) = point.get(1..).context("a point")?.split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(
            json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": text(x), "y": text(y) }),
        )
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let header = Header { kid: Some(self.id.into()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes())?;
        Ok(jsonwebtoken::encode(&header, claims, &key)?)
    }
}

/// Serves a document to whoever asks, as an issuer does with its keys. Gives its address.
async fn serve(document: Arc<Mutex<String>>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = document.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let _ = stream.read(&mut [0; 4096]).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    Ok(format!("http://{address}/keys"))
}

fn issuer() -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.into(),
        audience: "coursevault".into(),
        prefix: "idp:".into(),
        jwks_url: None,
        jwks_file: None,
        name_claim: "sub".into(),
        roles_claim: Some("coursevault".into()),
        sites: vec![],
        leeway_seconds: 60,
    }
}

fn claims(name: &str) -> Value {
    let now = SystemClock.now().millis() / 1000;
    json!({ "iss": ISSUER, "aud": "coursevault", "sub": name, "exp": now + 600, "nbf": now - 10 })
}

async fn who(app: &TestApp, token: &str) -> Result<String, Status> {
    let mut request = Request::new(GetServerInfoRequest {});
    let header = format!("Bearer {token}").parse().map_err(|_| Status::internal("no header"))?;
    request.metadata_mut().insert("authorization", header);
    Ok(app.admin().get_server_info(request).await?.into_inner().principal)
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_tokens_name_principals_and_what_is_wrong_with_them_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (key, forger) = (Key::new("one")?, Key::new("one")?);
    let file = folder.path().join("keys.json");
    std::fs::write(&file, json!({ "keys": [key.public()?] }).to_string())?;
    let app = TestApp::with(|config| {
        let sites = "main".parse().into_iter().collect();
        config.issuers = vec![IssuerConfig { jwks_file: Some(file.clone()), sites, ..issuer() }];
        config.principals = vec![PrincipalConfig {
            name: "idp:anna".into(),
            grants: vec!["teacher@sites/main/courses/c".into()],
            ..PrincipalConfig::default()
        }];
    })
    .await?;
    assert_eq!(who(&app, &key.sign(&claims("anna"))?).await?, "idp:anna");
    // Somebody of whom only the issuer speaks: within its sites.
    let with = |changes: Value| -> Result<String> {
        let mut all = claims("ben");
        for (name, value) in changes.as_object().context("an object")? {
            all[name] = value.clone();
        }
        key.sign(&all)
    };
    let granted =
        with(json!({ "coursevault": ["manager@sites/main", "administrator@sites/other", "x", 7] }))?;
    assert_eq!(who(&app, &granted).await?, "idp:ben");
    for (parent, expected) in [(MAIN, Code::Ok), ("sites/other", Code::PermissionDenied)] {
        let mut request = Request::new(ListCoursesRequest { parent: parent.into(), ..Default::default() });
        request.metadata_mut().insert("authorization", format!("Bearer {granted}").parse()?);
        let answer = app.courses().list_courses(request).await;
        assert_eq!(answer.err().map_or(Code::Ok, |status| status.code()), expected, "{parent}");
    }
    let nobody = who(&app, &with(json!({}))?).await;
    refused(nobody, Code::PermissionDenied, "PERMISSION_DENIED")?;

    let now = SystemClock.now().millis() / 1000;
    let unsigned = |header: Value| -> Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        Ok(format!("{}.{}.{}", part(&header), part(&claims("anna")), URL_SAFE_NO_PAD.encode("x")))
    };
    let good = key.sign(&claims("anna"))?;
    let (head, signature) =
        (good.split('.').next().context("a head")?, good.rsplit('.').next().context("an end")?);
    let exchanged = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims("root").to_string()));
    for (what, token) in [
        ("another audience", with(json!({ "aud": "other" }))?),
        ("another issuer", with(json!({ "iss": "https://evil.example.org" }))?),
        ("no audience", with(json!({ "aud": null }))?),
        ("expired", with(json!({ "exp": now - 120 }))?),
        ("no end", with(json!({ "exp": null }))?),
        ("too early", with(json!({ "nbf": now + 120 }))?),
        ("no name", with(json!({ "sub": null }))?),
        ("control characters", with(json!({ "sub": "a\u{7}b" }))?),
        ("another key", forger.sign(&claims("anna"))?),
        ("unsigned", unsigned(json!({ "alg": "none", "kid": "one" }))?),
        ("a shared secret", unsigned(json!({ "alg": "HS256", "kid": "one" }))?),
        ("an unknown key", unsigned(json!({ "alg": "ES256", "kid": "two" }))?),
        ("other claims", exchanged),
        ("no token", "a.b.c".into()),
        ("a monster", format!("{}.b.c", "a".repeat(20_000))),
    ] {
        let status = who(&app, &token).await.err().with_context(|| format!("{what} is believed"))?;
        ensure!(status.code() == Code::Unauthenticated, "{what}: {status:?}");
        assert_eq!(reason(&status), "CREDENTIALS_INVALID", "{what}");
    }
    // The clocks may differ a little.
    ensure!(
        who(
            &app,
            &key.sign(&{
                let mut late = claims("anna");
                late["exp"] = (now - 30).into();
                late
            })?
        )
        .await
        .is_ok()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_an_address_and_change() -> Result<()> {
    let (one, two) = (Key::new("one")?, Key::new("two")?);
    let document = Arc::new(Mutex::new("no keys".to_owned()));
    let url = serve(Arc::clone(&document)).await?;
    let put = |keys: Value| {
        *document.lock().unwrap_or_else(PoisonError::into_inner) = json!({ "keys": keys }).to_string();
    };
    let app = TestApp::with(|config| {
        config.issuers = vec![IssuerConfig { jwks_url: Some(url), ..issuer() }];
        config.principals = vec![PrincipalConfig {
            name: "idp:anna".into(),
            grants: vec!["teacher@sites/main".into()],
            ..PrincipalConfig::default()
        }];
    })
    .await?;
    let token = one.sign(&claims("anna"))?;
    ensure!(who(&app, &token).await.is_err(), "there is no key");
    put(json!([one.public()?]));
    let known = |token: String| {
        let app = &app;
        async move { Ok(who(app, &token).await.ok()) }
    };
    eventually("the first key is known", || known(token.clone())).await?;
    put(json!([two.public()?]));
    let newer = two.sign(&claims("anna"))?;
    eventually("the second key is known", || known(newer.clone())).await?;
    ensure!(who(&app, &token).await.is_err(), "a key that was taken back is believed");
    Ok(())
}
