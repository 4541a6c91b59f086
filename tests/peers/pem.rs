//! Certificates and keys as openssl makes them.

use crate::support::Folder;
use std::{fs, process::Command};

const CONFIG: &str = "
[req]
distinguished_name = name
prompt = no
[name]
CN = wsplice test
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
";

/// A certificate authority, and certificates of it for a server and a client.
pub struct Pem {
    folder: Folder,
}

impl Pem {
    pub fn new(name: &str) -> Self {
        let pem = Self { folder: Folder::new(name) };
        fs::write(pem.path("openssl.cnf"), CONFIG).expect("write");
        pem.make("ca", "ca", &[]);
        let (ca, key) = (pem.path("ca.pem"), pem.path("ca.key"));
        let signer = ["-CA", ca.as_str(), "-CAkey", key.as_str()];
        pem.make("server", "server", &signer);
        pem.make("client", "client", &signer);
        pem
    }

    /// A certificate that is not of the authority.
    pub fn make_stranger(&self) {
        self.make("stranger", "client", &[]);
    }

    fn make(&self, name: &str, extensions: &str, signer: &[&str]) {
        let (config, key, cert) =
            (self.path("openssl.cnf"), self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")));
        let mut arguments = vec!["req", "-x509", "-config", &config, "-extensions", extensions, "-days", "2"];
        arguments.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        arguments.extend(["-keyout", &key, "-out", &cert]);
        arguments.extend(signer);
        openssl(&arguments);
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path(name)
    }

    /// Our options for a listener.
    pub fn serving(&self) -> [String; 4] {
        ["--cert".into(), self.path("server.pem"), "--key".into(), self.path("server.key")]
    }

    /// Our options for a client that trusts the authority.
    pub fn trusting(&self) -> [String; 2] {
        ["--cacert".into(), self.path("ca.pem")]
    }

    /// Our options for a client that has a certificate.
    pub fn known(&self) -> [String; 4] {
        ["--client-cert".into(), self.path("client.pem"), "--client-key".into(), self.path("client.key")]
    }

    /// Our options for a listener that asks for one.
    pub fn demanding(&self) -> [String; 2] {
        ["--client-ca".into(), self.path("ca.pem")]
    }
}

/// Runs openssl, which must succeed.
#[track_caller]
pub fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
