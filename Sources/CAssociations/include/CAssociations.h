// SPDX-License-Identifier: Apache-2.0
//
// Associations in processes of their own: DCMTK speaks DICOM there, and the node decides.
//
// The node starts each of these processes with a connected Unix stream socket, the channel, as its standard input. The
// process is a receiver, which serves the associations that peers request, or a sender, which requests associations.
//
// Messages
// --------
// A message is a length (u32, without itself), a kind (u8) and the fields of the kind in the order below. Integers are
// little endian. `text` is a u16 length and bytes. `bytes` is a u32 length and bytes. `list` is a u16 count and its
// entries. `long list` is a u32 count and its entries. A descriptor travels with the first byte of its message
// (SCM_RIGHTS).
//
//     commitment    text Transaction UID, long list of (text SOP class, text SOP instance) that are asked about or
//                   committed, long list of (text SOP class, text SOP instance, u16 Failure Reason)
//     certificate   bytes DER of the peer's certificate, text subject, text issuer (RFC 2253),
//                   list of bytes: the SHA-256 of each certificate of the verified chain, the peer's own first.
//                   All are empty if the connection is plain or the peer showed no certificate.
//
// Both roles, node to child
//     1 credentials u8 profile (1 non-downgrading BCP 195, 2 extended BCP 195), u8 clients (0 none, 1 requested,
//                   2 required; a sender ignores it), bytes certificate chain (PEM), bytes private key (PEM), bytes
//                   password of the key, bytes certificates of authorities (PEM), bytes revocation lists (PEM).
//                   Each connection that is secure uses the newest credentials. A sender's certificate, key and
//                   password may be empty.
// Both roles, child to node
//     1 ready       the child waits for an association
//     2 unusable    text cause: TLS cannot be set up from the credentials; answers `credentials`, and `ready` otherwise
//     3 ended       u8 how: 0 released, 1 rejected, 2 aborted by the peer, 3 aborted by the child, 4 connection lost;
//                   u8 result, u8 source, u8 reason of an A-ASSOCIATE-RJ or A-ABORT (result 0 for an abort);
//                   text cause in the child's words, without anything that the peer sent
//
// Receiver, node to child
//     10 associate  u32 maximum PDU length that is announced, u8 secure, bytes that the node has read from the
//                   connection (empty if it is secure); with the connection
//     11 accept     list of (u8 context, u8 result of PS3.8 table 9-18, text transfer syntax,
//                   u8 role: 0 default, 1 SCU, 2 SCP, 3 both)
//     12 reject     u8 result, u8 source, u8 reason (PS3.8 9.3.4)
//     13 take       u64 most bytes of the data set; with the descriptor that the data set is appended to
//     14 refuse     u16 status: the data set is read and discarded
//     15 answer     u16 status of the response
//     16 report     commitment: an N-EVENT-REPORT-RQ for the peer, sent as soon as the peer awaits nothing
//     17 stop       ends the association: at once if it waits for a request, otherwise after the next answer
//     18 discard    u32 errno: what still comes of the data set is discarded, and `whole` names this errno
//     19 abort      u8 source, u8 reason: ends the association with an A-ABORT at once, also within a data set
// Receiver, child to node
//     20 requested  text calling title, text called title, text application context, u32 maximum PDU length of the
//                   peer, text implementation class UID, text implementation version, certificate,
//                   list of (u8 context, text abstract syntax, u8 proposed role, list of text transfer syntax)
//     21 store      u8 context, text SOP class, text SOP instance, u8 has a data set
//     22 whole      u64 bytes of the data set, 32 bytes SHA-256 of them, u32 errno of the write that failed, 0 for none
//                   (EFBIG if the data set is longer than `take` allows)
//     23 asked      commitment: an N-ACTION-RQ of Storage Commitment Push Model; the second list is empty
//     24 told       commitment: an N-EVENT-REPORT-RQ of Storage Commitment Push Model
//     25 reported   u16 status of the N-EVENT-REPORT-RSP that answers `report`; 0xFFFF if it could not be sent
//     26 served     u16 command field of a request that the receiver has answered alone
//
// Sender, node to child
//     30 associate  u8 secure, text host name that the peer's certificate has to name (empty: not checked), text calling
//                   title, text called title, u32 maximum PDU length that is announced, list of (u8 context, text
//                   abstract syntax, u8 role, list of text transfer syntax); with the connection, which is connected
//     31 store      u8 context, text SOP class, text SOP instance, u64 offset and u64 length of the data set in the
//                   file, text transfer syntax of the file; with the file. If the context has another transfer syntax,
//                   the data set is encoded anew.
//     32 ask        u8 context, commitment: an N-ACTION-RQ of Storage Commitment Push Model
//     33 report     u8 context, commitment: an N-EVENT-REPORT-RQ of Storage Commitment Push Model
//     34 answer     u16 status of the response to `told`
//     35 release    ends the association
//     36 echo       u8 context
// Sender, child to node
//     40 accepted   u32 maximum PDU length of the peer, text implementation class UID, text implementation version,
//                   certificate, list of (u8 context, u8 result of PS3.8 table 9-18, text transfer syntax, u8 role)
//     41 responded  u16 status: answers `store`, `ask`, `report` and `echo`
//     42 told       commitment: an N-EVENT-REPORT-RQ of Storage Commitment Push Model
//     43 failed     text cause: `store` could not be sent, for instance because the file is cut off. The association
//                   goes on, unless `ended` follows.
//
// Conversation of a receiver
// --------------------------
// The receiver says `ready`. The node sends `associate`. The receiver says `requested`, or `ended` if no association
// came about. The node answers `accept` or `reject`. For each C-STORE-RQ the receiver says `store`; the node answers
// `take` or `refuse`; after `take` and the data set the receiver says `whole`; the node answers `answer`. The receiver
// reads the data set meanwhile, and holds a small part of it until the node has answered. `asked` and
// `told` are answered by `answer`. The node may send `report` whenever the association is open and no other report is
// on its way. C-ECHO, and requests of services that the node does not have, are answered by the receiver alone. It
// says `served` when the peer pauses then, and at least once a second while such requests come. `ended` closes the
// association, and `ready` follows. `report`, `stop`, `discard` and `abort` may cross `ended`, and `discard` may cross
// `whole`: they have no effect then.
//
// Conversation of a sender
// ------------------------
// The sender says `ready`. The node sends `associate`. The sender says `accepted` or `ended`. Then the node sends one
// order at a time, and the sender answers it. `told` may come at any time, but not before `answer` to the last one. The
// node sends `answer` while no order is on its way, and before its next order, unless that is `release`. `release` is
// answered by `ended`. `ended` may come at any time, and `ready` follows it. An order that the node had sent by then is
// discarded.
//
// The other end
// -------------
// A child exits when the node's end of the channel closes, or if a message comes out of turn. The node kills a child that
// sends a message out of turn. If a child dies, its association is over: the node sends an A-ABORT on its copy of a
// plain connection, and closes its copy. The node holds all deadlines: it shuts the connection down, or kills the child.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Serves associations, one after the other, until the other end of `channel` is closed. Returns the exit status of the
// process.
int cassociations_receiver_run(int channel);

// Requests associations, one after the other, until the other end of `channel` is closed. Returns the exit status of the
// process.
int cassociations_sender_run(int channel);

// The two roles of these processes.
typedef enum cassociations_role { CASSOCIATIONS_RECEIVER = 0, CASSOCIATIONS_SENDER = 1 } cassociations_role;

// Gives up what a process of this role does not need: new privileges, core files, memory without end, descriptors other
// than the channel, files by path where the kernel has Landlock, and system calls where it has seccomp. A system call
// that is given up ends the process. Call it before one of the functions above. Returns the number of measures that the
// kernel took, at most 7.
int cassociations_confine(int channel, cassociations_role role);

#ifdef __cplusplus
}
#endif
