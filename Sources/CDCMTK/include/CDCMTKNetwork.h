// SPDX-License-Identifier: Apache-2.0
//
// Associations in a process of their own: DCMTK speaks DICOM there, and the node decides.
//
// The node and its receiver talk over a connected Unix stream socket, the channel. Each message is a length (u32,
// without itself), a kind (u8) and the fields of the kind in the order below. Integers are little endian. `text` is a u16
// length and bytes. `list` is a u16 count and its entries. A descriptor travels with the first byte of its message
// (SCM_RIGHTS).
//
//     node to receiver
//     1 associate   u32 maximum PDU length that is announced, u8 secure; with the connection
//     2 accept      list of (u8 context, u8 result of PS3.8 table 9-18, text transfer syntax, u8 role: 0 default, 1 SCU, 2 SCP, 3 both)
//     3 reject      u8 result, u8 source, u8 reason (PS3.8 9.3.4)
//     4 take        with the descriptor that the data set is appended to
//     5 refuse      u16 status: the data set is read and discarded
//     6 answer      u16 status of the C-STORE-RSP
//     7 stop        ends the association: at once if it waits for a request, otherwise after the next answer
//
//     receiver to node
//     1 ready       the receiver waits for an association
//     2 requested   text calling title, text called title, text application context, u32 maximum PDU length of the peer,
//                   text implementation class UID, text implementation version, bytes certificate (u32 length, DER),
//                   list of (u8 context, text abstract syntax, u8 proposed role, list of text transfer syntax)
//     3 store       u8 context, text SOP class, text SOP instance, u8 has a data set
//     4 whole       u64 bytes of the data set, 32 bytes SHA-256 of them, u8 written: 0 if the descriptor failed, u32 errno
//     5 ended       u8 how: 0 released, 1 rejected, 2 aborted by the peer, 3 aborted by the receiver, 4 connection lost;
//                   u8 source, u8 reason of an A-ABORT; text cause in the receiver's words
//
// Conversation. The receiver says `ready`. The node sends `associate`. The receiver says `requested`, or `ended` if no
// association came about. The node answers `accept` or `reject`. For each C-STORE-RQ the receiver says `store`; the node
// answers `take` or `refuse`; after the data set the receiver says `whole`; the node answers `answer`. A request
// without a data set is answered after `store` by `refuse`. `ended` closes the association, and `ready` follows. The
// receiver exits when the node's end of the channel closes.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Serves associations, one after the other, until the other end of `channel` is closed. Returns the exit status of the
// process.
int cdcmtk_receiver_run(int channel);

// Gives up what a receiver does not need: new privileges, core files, and files of its own where the kernel has
// Landlock. Returns the number of measures that the kernel took.
int cdcmtk_receiver_confine(void);

#ifdef __cplusplus
}
#endif
