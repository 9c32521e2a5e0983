# SPDX-License-Identifier: Apache-2.0
"""Authorities and certificates for checks, made at run time with `openssl`."""

import collections
import datetime
import os
import ssl
import subprocess

from processes import PeerError

# The files of one certificate: the certificate (PEM) and its private key (PEM, not encrypted, mode 0600).
Pair = collections.namedtuple("Pair", ["certificate", "key"])

CONFIGURATION = """
[ca]
default_ca = own
[own]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}/issued
serial = {folder}/serial
crlnumber = {folder}/crlnumber
certificate = {folder}/authority.pem
private_key = {folder}/authority.key
default_md = sha256
default_days = 365
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
organizationName = optional
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


def openssl(*arguments, input=None):
    """Runs `openssl`. Returns its standard output."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, input=input, timeout=60)
    if done.returncode:
        raise PeerError(f"openssl {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def make_key(path, kind):
    """Writes a private key: `rsa` (2048 bits) or `ec` (P-256)."""
    choice = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if kind == "rsa" else [
        "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    openssl("genpkey", "-algorithm", *choice, "-out", path)
    os.chmod(path, 0o600)
    return path


def moment(days):
    """The time in some days, as `openssl ca` takes it."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder, name="Authority", kind="rsa"):
        os.makedirs(f"{folder}/issued")
        self.folder = folder
        self.certificate, self.crl = f"{folder}/authority.pem", f"{folder}/crl.pem"
        self.configuration = f"{folder}/openssl.cnf"
        for file, content in (("openssl.cnf", CONFIGURATION.format(folder=folder)), ("index.txt", ""),
                              ("serial", "1000\n"), ("crlnumber", "1000\n")):
            with open(f"{folder}/{file}", "w") as opened:
                opened.write(content)
        make_key(f"{folder}/authority.key", kind)
        openssl("req", "-x509", "-new", "-key", f"{folder}/authority.key", "-sha256", "-days", "365", "-subj",
                f"/O=Kontur checks/CN={name}", "-config", self.configuration, "-extensions", "authority", "-out",
                self.certificate)
        self.write_crl()

    def issue(self, name, kind="rsa", host="DNS:localhost,IP:127.0.0.1", begin=-1, end=365):
        """A certificate that counts from `begin` to `end`, in days from now. Returns its `Pair`."""
        pair = Pair(f"{self.folder}/{name}.pem", f"{self.folder}/{name}.key")
        make_key(pair.key, kind)
        request = f"{self.folder}/{name}.csr"
        openssl("req", "-new", "-key", pair.key, "-subj", f"/O=Kontur checks/CN={name}", "-config", self.configuration,
                "-addext", f"subjectAltName={host}", "-addext", "extendedKeyUsage=serverAuth,clientAuth", "-out",
                request)
        openssl("ca", "-batch", "-notext", "-config", self.configuration, "-in", request, "-out", pair.certificate,
                "-startdate", moment(begin), "-enddate", moment(end))
        return pair

    def revoke(self, pair):
        openssl("ca", "-config", self.configuration, "-revoke", pair.certificate)
        self.write_crl()

    def write_crl(self):
        openssl("ca", "-gencrl", "-config", self.configuration, "-out", self.crl)


def self_signed(folder, name, kind="rsa", host="DNS:localhost,IP:127.0.0.1"):
    """A certificate that its own key signed. Returns its `Pair`."""
    pair = Pair(f"{folder}/{name}.pem", f"{folder}/{name}.key")
    make_key(pair.key, kind)
    openssl("req", "-x509", "-new", "-key", pair.key, "-sha256", "-days", "365", "-subj",
            f"/O=Kontur checks/CN={name}", "-addext", f"subjectAltName={host}", "-out", pair.certificate)
    return pair


def fingerprint(pair):
    """The SHA-256 of a certificate, as 64 hexadecimal digits."""
    text = openssl("x509", "-in", pair.certificate, "-noout", "-fingerprint", "-sha256")
    return text.strip().rsplit("=", 1)[1].replace(":", "").lower()


def client_context(authority, pair=None, newest=None):
    """How Python calls a node: the trusted authority, the caller's certificate, and the newest TLS version."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    if newest:
        context.maximum_version = newest
    return context


def server_context(authority, pair):
    """How Python takes a node's calls: the node has to show a certificate of the authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pair.certificate, pair.key)
    return context
