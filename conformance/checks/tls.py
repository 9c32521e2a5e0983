#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls a node over TLS, and lets the node call others, with right certificates and with wrong ones of every kind.

The peers are OpenSSL's client, DCMTK's tools, pynetdicom and Orthanc. The authorities and certificates are made at run
time. A right certificate stores, with TLS 1.2 and 1.3, RSA and EC. A wrong certificate does not get an association, in
neither direction, and log or trail say why. SIGHUP takes new certificates without an end of an association.

    tls.py                        every part
    tls.py --parts wrong,reload   some of them
"""

import argparse
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import hostile
import wire
from certificates import Authority, Pair, client_context, fingerprint, self_signed, server_context
from footprint import connections_to, receiver_of
from hostile import STORAGE, EchoWatch
from many import small_instance
from node import ROOT, Node
from orthanc import Orthanc
from processes import PeerError, Process, free_port, wait_until
from pydicom import dcmread
from pynetdicom import AE, evt
from receivers import Caller, expect_echoes
from report import Report
from send import files, read_anything
from wire import EXPLICIT_LITTLE, SECONDARY_CAPTURE, Association, Closed, Rejected, new_uid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SLICE = files([f"{ROOT}/samples-dicom/lge"])[0]
COLONOSCOPY = """
  - name: colonoscopy
    when: {modality: [ES]}
    segmenter: polyp-compact
    sendTo: [%s]
"""


class Site:
    """The authorities, the certificates and the configuration of one node."""

    def __init__(self, folder):
        self.folder = folder
        self.authority = Authority(f"{folder}/authority", "Kontur checks")
        self.other = Authority(f"{folder}/other", "Somebody else")
        self.node = {kind: self.authority.issue(f"node-{kind}", kind) for kind in ("rsa", "ec")}
        self.test = {kind: self.authority.issue(f"test-{kind}", kind) for kind in ("rsa", "ec")}
        self.archive = self.authority.issue("archive")
        self.wrong = {
            "expired": self.authority.issue("expired", begin=-10, end=-1),
            "not yet valid": self.authority.issue("future", begin=2),
            "revoked": self.authority.issue("revoked"),
            "self-signed": self_signed(folder, "self-signed"),
            "unknown authority": self.other.issue("stranger"),
        }
        self.authority.revoke(self.wrong["revoked"])

    def settings(self, port, pair, clients="required"):
        """The key `tls` of the section `node`."""
        return (f"tls: {{port: {port}, certificate: {pair.certificate}, key: {pair.key}, "
                f"authorities: {self.authority.certificate}, revocationLists: {self.authority.crl}, clients: {clients}}}")

    def start(self, pair=None, clients="required", folder=None, **more):
        """A node with a plain port and a TLS port. The peer TEST is who shows one of two certificates."""
        port = free_port()
        node = Node(more.pop("archive_port", None) or free_port(), quiet=2,
                    settings=self.settings(port, pair or self.node["rsa"], clients), folder=folder,
                    test_settings=more.pop("test_settings", "certificate: {subject: 'O=Kontur checks,CN=test-rsa'}"),
                    routes=more.pop("routes", " []"), **more)
        node.tls_port = port
        return node


def refusals(node):
    """The number of refused callers whose record names their certificate."""
    rows = node.query("SELECT coalesce(count, 1) FROM audit WHERE event = 'associationRejected' AND reason LIKE "
                      "'%certificate%'")
    return sum(row[0] for row in rows)


def expect_refused(report, node, name, call, shown=True):
    """Expects that a call gets no association, and that the trail names the certificate."""
    before = refusals(node)
    try:
        outcome = f"status {call():04X}"
    except (Closed, Rejected, OSError, PeerError) as error:
        outcome = f"refused: {error}"
    report.line(f"{name}: {outcome}")
    report.expect(outcome.startswith("refused"), f"{name}: {outcome}")
    try:
        wait_until(lambda: refusals(node) > before, 5, "a record")
    except PeerError:
        report.expect(False, f"{name}: the trail does not name the certificate")


def s_client(report, site, node, version):
    """The handshake of OpenSSL's client, in both directions of trust."""
    pair = site.test["rsa"]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{node.tls_port}", f"-{version}", "-CAfile",
         site.authority.certificate, "-cert", pair.certificate, "-key", pair.key, "-verify_return_error",
         "-verify_ip", "127.0.0.1"], input="", capture_output=True, text=True, timeout=20)
    found = [line.strip() for line in done.stdout.splitlines() if "Cipher is" in line or "Verify return code" in line]
    report.line(f"openssl s_client -{version}: {found[:2]}")
    report.expect(done.returncode == 0 and any("0 (ok)" in line for line in found),
                  f"openssl s_client -{version}: {found} {done.stderr[-300:]}")


def storescu(report, site, node, kind):
    pair = site.test[kind]
    done = subprocess.run(
        ["storescu", "+tls", pair.key, pair.certificate, "+cf", site.authority.certificate, "-aet", "TEST", "-aec",
         "KONTUR", "127.0.0.1", str(node.tls_port), SLICE], capture_output=True, text=True, timeout=30)
    report.line(f"storescu +tls, {kind}: {done.returncode}")
    report.expect(done.returncode == 0, f"storescu +tls, {kind}: {done.stderr[-300:]}")


def pynetdicom_store(report, site, node, version):
    caller, data = AE("TEST"), dcmread(SLICE)
    caller.add_requested_context(data.SOPClassUID, data.file_meta.TransferSyntaxUID)
    context = client_context(site.authority, site.test["rsa"], version)
    association = caller.associate("127.0.0.1", node.tls_port, ae_title="KONTUR", tls_args=(context, "127.0.0.1"))
    status = association.send_c_store(data).Status if association.is_established else None
    report.line(f"pynetdicom, {version.name}: {status}")
    report.expect(status == 0, f"pynetdicom, {version.name}: {status}")
    if association.is_established:
        association.release()


def check_peers(report, site):
    """Everybody with the right certificate stores, whatever the kinds of the two keys and the version of TLS."""
    both = "certificate: {authority: 'O=Kontur checks,CN=Kontur checks'}"
    for kind in ("rsa", "ec"):
        with site.start(site.node[kind], test_settings=both) as node:
            report.line(f"-- the node has an {kind} key")
            s_client(report, site, node, "tls1_3")
            if kind == "rsa":
                s_client(report, site, node, "tls1_2")
                pynetdicom_store(report, site, node, ssl.TLSVersion.TLSv1_2)
            pynetdicom_store(report, site, node, ssl.TLSVersion.TLSv1_3)
            storescu(report, site, node, "rsa")
            storescu(report, site, node, "ec")
            uids = {read_anything(SLICE).instance_uid}
            report.expect(node.stored_uids() == uids, f"{kind}: stored {node.stored_uids()}")
            report.expect(not node.damaged_files(), f"{kind}: the file is different")
            named = node.query("SELECT count(*) FROM audit WHERE event = 'instancesReceived' AND certificate IS NOT NULL")
            report.expect(named[0][0] > 0, f"{kind}: the trail does not hold the certificate of the sender")


def check_wrong(report, site):
    """Wrong certificates of callers."""
    with site.start() as node:
        call = lambda pair, title="TEST": wire.echo(
            node.tls_port, title, tls=client_context(site.authority, pair) if pair else client_context(site.authority))
        report.expect(call(site.test["rsa"]) == 0, "the right certificate is refused")
        for name, pair in site.wrong.items():
            expect_refused(report, node, name, lambda: call(pair))
        expect_refused(report, node, "none", lambda: call(None))
        expect_refused(report, node, "another peer's certificate with the right title", lambda: call(site.archive))
        try:
            outcome = f"status {wire.echo(node.tls_port, timeout=7):04X}"
        except (Closed, Rejected, OSError) as error:
            outcome = f"refused: {error}"
        report.line(f"plain DICOM on the TLS port: {outcome}")
        report.expect(outcome.startswith("refused"), f"plain DICOM on the TLS port: {outcome}")
        old = ssl.create_default_context(cafile=site.authority.certificate)
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.load_cert_chain(*site.test["rsa"])
        try:
            outcome = f"status {wire.echo(node.tls_port, tls=old):04X}"
        except (Closed, Rejected, OSError) as error:
            outcome = f"refused: {error}"
        report.line(f"TLS 1.1: {outcome}")
        report.expect(outcome.startswith("refused"), f"TLS 1.1: {outcome}")
        report.expect(call(site.test["rsa"]) == 0, "the right certificate is refused afterwards")
        # A peer that is bound to a certificate is nobody without it.
        try:
            outcome = f"status {wire.echo(node.port):04X}"
        except (Closed, Rejected, OSError) as error:
            outcome = f"refused: {error}"
        report.line(f"the peer on the plain port: {outcome}")
        report.expect(outcome.startswith("refused"), f"the peer on the plain port: {outcome}")
        report.expect_whole_trail(node)


class Archive:
    """pynetdicom as an archive behind TLS."""

    def __init__(self, title, context):
        self.title, self.got = title, []
        self.port = free_port()
        archive = AE(title)
        archive.add_supported_context(SEGMENTATION, [EXPLICIT_LITTLE])
        self.server = archive.start_server(
            ("127.0.0.1", self.port), block=False, ssl_context=context, evt_handlers=[(evt.EVT_C_STORE, self.take)])

    def take(self, event):
        self.got.append(event.request.AffectedSOPInstanceUID)
        return 0

    def entry(self, more=""):
        """The archive's item under `peers`."""
        return (f"  - {{name: {self.title.lower()}, aeTitle: {self.title}, host: 127.0.0.1, port: {self.port}, tls: true"
                f"{', ' + more if more else ''}}}\n")


def check_outgoing(report, site):
    """The node sends one SEG to archives with right and with wrong certificates, and Orthanc sends and receives."""
    authority = site.authority
    older = server_context(authority, site.archive)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    good = [Archive("PYNET13", server_context(authority, site.archive)), Archive("PYNET12", older),
            Archive("PYNETEC", server_context(authority, authority.issue("archive-ec", "ec")))]
    elsewhere = authority.issue("elsewhere", host="DNS:elsewhere.example")
    bad = [Archive(name.upper().replace(" ", "").replace("-", "")[:16], server_context(authority, pair))
           for name, pair in [*site.wrong.items(), ("wrong name", elsewhere)]]
    bound = Archive("BOUND", server_context(authority, site.archive))
    entries = "".join(one.entry() for one in [*good, *bad])
    entries += bound.entry(f"certificate: {{fingerprint: {fingerprint(site.test['rsa'])}}}")
    store, folder = free_port(), f"{site.folder}/storescp"
    os.makedirs(folder)
    entries += f"  - {{name: storescp, aeTitle: STORESCP, host: 127.0.0.1, port: {store}, tls: true}}\n"
    names = ["archive", "storescp", *(one.title.lower() for one in [*good, *bad, bound])]
    secure = {"DicomTlsEnabled": True, "DicomTlsCertificate": site.archive.certificate,
              "DicomTlsPrivateKey": site.archive.key, "DicomTlsTrustedCertificates": authority.certificate,
              "DicomTlsRemoteCertificateRequired": True}
    command = ["storescp", "+tls", site.archive.key, site.archive.certificate, "+cf", authority.certificate, "-aet",
               "STORESCP", "-od", folder, str(store)]
    archive = Orthanc(overrides=secure)
    archive_node = site.start(archive_port=archive.dicom_port, routes=COLONOSCOPY % ", ".join(names), peers=entries,
                              archive_settings="tls: true")
    archive.configuration["DicomModalities"]["kontur"] = {
        "AET": "KONTUR", "Host": "127.0.0.1", "Port": archive_node.tls_port, "UseDicomTls": True}
    with archive, archive_node as node, Process(command, f"{site.folder}/storescp.log"):
        for path in files([f"{ROOT}/samples-dicom/colonoscopy"]):
            archive.upload(path)
        study = archive.get("/studies")[0]
        archive.post("/modalities/kontur/store", {"Resources": [study], "Synchronous": True})
        report.line(f"Orthanc has sent {len(node.stored_uids())} instances over TLS")
        wanted = {"archive", "storescp", *(one.title.lower() for one in good)}

        def states():
            return dict(node.query("SELECT peer, state FROM delivery"))

        try:
            wait_until(lambda: {name for name, state in states().items() if state == "sent"} >= wanted and len(
                states()) == len(names), 60, "the deliveries")
            wait_until(lambda: all(row[0] for row in node.query(
                "SELECT attempts FROM delivery WHERE state != 'sent'")), 30, "the other deliveries to be tried")
        except PeerError as error:
            report.expect(False, f"{error}: {states()}")
        for peer, state, why in node.query("SELECT peer, state, why FROM delivery"):
            report.line(f"{peer}: {state}{f', {why}' if why else ''}")
            if peer not in wanted:
                report.expect(state in ("pending", "dead") and "certificate" in (why or ""), f"{peer}: {state}, {why}")
        report.expect(not any(one.got for one in [*bad, bound]), "an archive with a wrong certificate got the SEG")
        # On a busy machine, a study may arrive in two revisions.
        report.expect(archive.series(Modality="SEG") and os.listdir(folder), "a SEG is missing")
        report.expect_whole_trail(node)
    for one in [*good, *bad, bound]:
        one.server.shutdown()


def shown(port, context):
    """The certificate that the node shows, as PEM."""
    with wire.connect(port, tls=context) as connection:
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True)).strip()


def content(path):
    with open(path) as file:
        return file.read().strip()


def check_reload(report, site):
    """SIGHUP: new associations see the new certificate, and the open association goes on. Wrong files change nothing."""
    folder = f"{site.folder}/reload"
    os.makedirs(folder)

    def put(pair):
        for source, name in zip(pair, ("node.pem", "node.key")):
            shutil.copy(source, f"{folder}/{name}.new")
            os.rename(f"{folder}/{name}.new", f"{folder}/{name}")

    put(site.node["rsa"])
    with site.start(Pair(f"{folder}/node.pem", f"{folder}/node.key")) as node:
        context = client_context(site.authority, site.test["rsa"])
        first, second = content(site.node["rsa"].certificate), content(site.node["ec"].certificate)
        report.expect(shown(node.tls_port, context) == first, "reload: the node does not show its certificate")
        with Association(node.tls_port, STORAGE, tls=context) as held:
            put(site.node["ec"])
            node.process.process.send_signal(signal.SIGHUP)
            try:
                wait_until(lambda: shown(node.tls_port, context) == second, 5, "the new certificate")
            except PeerError as error:
                report.expect(False, f"reload: {error}")
            one = small_instance(new_uid(), new_uid(), 1)
            status = held.store(held.context(SECONDARY_CAPTURE, EXPLICIT_LITTLE), one.class_uid, one.instance_uid, one.data)
            report.expect(status == 0, f"reload: the open association got {status:04X}")
        site.authority.revoke(site.test["ec"])
        # The key does not fit: the node keeps what it has, and says so.
        shutil.copy(site.node["rsa"].certificate, f"{folder}/node.pem")
        size = os.path.getsize(node.process.log)
        node.process.process.send_signal(signal.SIGHUP)
        try:
            wait_until(lambda: os.path.getsize(node.process.log) > size, 5, "a line in the log")
        except PeerError as error:
            report.expect(False, f"reload of a wrong key: {error}")
        report.expect(shown(node.tls_port, context) == second, "reload: a wrong key replaced the certificate")
        report.expect(wire.echo(node.tls_port, tls=context) == 0, "reload: the node does not answer")
        report.line(f"reload: {node.process.tail(1).strip()}")


def check_configuration(report, site):
    """`kontur config check` names what is wrong with certificates and keys."""
    open_key, twin = f"{site.folder}/open.key", site.authority.issue("twin")
    shutil.copy(site.node["rsa"].key, open_key)
    os.chmod(open_key, 0o644)
    soon = site.authority.issue("soon", end=10)
    certificate = site.node["rsa"].certificate
    cases = [("right", site.node["rsa"], 0, None), ("expired", site.wrong["expired"], 1, "expired"),
             ("key of another certificate", Pair(certificate, twin.key), 1, "key"),
             ("key that others can read", Pair(certificate, open_key), 1, "mode"),
             ("missing", Pair(f"{site.folder}/absent.pem", twin.key), 1, "absent.pem"),
             ("no certificate", Pair(site.node["rsa"].key, site.node["rsa"].key), 1, "certificate"),
             ("soon expired", soon, 0, "expire"), ("of an unknown authority", site.wrong["unknown authority"], None, "")]
    for name, pair, expected, word in cases:
        node = site.start(pair)
        try:
            status, output, errors = node.check_configuration()
            text = output + errors
            said = next((line.strip() for line in text.splitlines() if word and word in line), "")
            report.line(f"config check, {name}: {status} {said}")
            report.expect(expected in (None, status), f"config check, {name}: status {status}: {text[-400:]}")
            report.expect(not word or said, f"config check, {name}: does not say {word!r}: {text[-400:]}")
        finally:
            node.remove()


def stalled_handshakes(port, count, seconds, context):
    """Sends a ClientHello and then nothing, over and over within a second, so that no place is left to others.

    Counts the connections that the node closed in time.
    """
    hello, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(hello, outgoing, server_hostname="127.0.0.1").do_handshake()
    except ssl.SSLWantReadError:
        pass
    data, connections = outgoing.read(), []
    for _ in range(count):
        connections.append(wire.connect(port))
        try:
            connections[-1].sendall(data)
        except OSError:
            pass
        time.sleep(1 / count)
    time.sleep(seconds)
    closed = 0
    for one in connections:
        one.settimeout(0.01)
        try:
            while one.recv(65536):
                pass
            closed += 1
        except TimeoutError:
            pass
        except OSError:
            closed += 1
        one.close()
    return f"{closed} of {count} closed"


def check_silence(report, site):
    """Silent and slow callers on the TLS port, while others work on both ports."""
    with site.start(test_settings="") as node:
        context = client_context(site.authority, site.test["rsa"])
        sender = Caller(node.port, [small_instance("2.25.1", "2.25.2", index) for index in range(200)], pause=0.02)
        outcomes = {}
        attacks = {"silent": lambda: hostile.silent(node.tls_port, 100, 8),
                   "after ClientHello": lambda: stalled_handshakes(node.tls_port, 100, 8, context),
                   "one byte a second": lambda: hostile.drip(node.tls_port)}
        threads = [threading.Thread(target=lambda name=name, run=run: outcomes.update({name: run()}), daemon=True)
                   for name, run in attacks.items()]
        with EchoWatch(node.port) as plain, EchoWatch(node.tls_port, tls=context) as secure:
            for thread in [sender, *threads]:
                thread.start()
            for thread in [sender, *threads]:
                thread.join(60)
        report.line(f"TLS port: {outcomes}")
        expect_echoes(report, plain, "beside the silent: plain")
        # The callers of one address share its places for handshakes.
        expect_echoes(report, secure, "beside the silent: TLS", within=5)
        report.expect(dict(sender.ends) == {"released": 1}, f"beside the silent: {dict(sender.ends)}")
        for name in ("silent", "after ClientHello"):
            report.expect(outcomes.get(name) == "100 of 100 closed", f"TLS port: {name}: {outcomes.get(name)}")
        report.expect("left open" not in str(outcomes), f"TLS port: {outcomes}")
        time.sleep(1)
        left = connections_to(node.tls_port)
        report.expect(not left, f"TLS port: {len(left)} connections are left open")


def check_kill(report, site):
    """A receiver that dies on a secure connection: the caller sees the end at once, and others go on."""
    with site.start() as node:
        context = client_context(site.authority, site.test["rsa"])
        with Association(node.tls_port, STORAGE, tls=context) as other:
            killed = Association(node.tls_port, STORAGE, tls=context)
            pid = receiver_of(node, killed.socket.getsockname()[1], node.tls_port)
            if report.expect(pid, "kill: the connection has no receiver"):
                begin = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                try:
                    report.expect(not killed.socket.recv(100), "kill: the caller got bytes")
                except OSError:
                    pass
                seconds = time.monotonic() - begin
                report.line(f"kill: the caller saw the end after {seconds * 1000:.0f} ms")
                report.expect(seconds < 1, f"kill: the caller saw the end after {seconds:.1f} s")
            killed.close()
            one = small_instance(new_uid(), new_uid(), 1)
            status = other.store(
                other.context(SECONDARY_CAPTURE, EXPLICIT_LITTLE), one.class_uid, one.instance_uid, one.data)
            report.expect(status == 0, f"kill: the other association got {status:04X}")


PARTS = {"peers": check_peers, "wrong": check_wrong, "outgoing": check_outgoing, "reload": check_reload,
         "configuration": check_configuration, "silence": check_silence,
         "kill": check_kill}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="parts to run, separated by commas")
    options = parser.parse_args()
    report = Report("tls")
    with tempfile.TemporaryDirectory(prefix="kontur-tls-") as folder:
        site = Site(folder)
        for name in options.parts.split(","):
            begin = time.monotonic()
            try:
                PARTS[name](report, site)
            except Exception as error:
                report.expect(False, f"{name}: {type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}")
            report.line(f"-- {name}: {time.monotonic() - begin:.1f} s")
    report.end()


if __name__ == "__main__":
    main()
