//! The header of a packet (virtio 1.2, 5.10.6): 44 bytes, little-endian, before the bytes that it carries.

/// Bytes of a header.
pub const HEADER: usize = 44;
/// The host's address (virtio 1.2, 5.10.4).
pub const HOST_CID: u64 = 2;
/// The type of a stream socket, the only one that is spoken here.
pub const STREAM: u16 = 1;
/// The sender of a shutdown will receive no more.
pub const SHUT_RECEIVE: u32 = 1;
/// The sender of a shutdown will send no more.
pub const SHUT_SEND: u32 = 2;
/// Neither.
pub const SHUT_BOTH: u32 = SHUT_RECEIVE | SHUT_SEND;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Asks for a connection.
    Request,
    /// Takes the connection that was asked for.
    Response,
    /// Refuses or ends a connection.
    Reset,
    /// Ends one way of a connection, or both.
    Shutdown,
    /// Carries bytes.
    Data,
    /// Tells how much room there is.
    CreditUpdate,
    /// Asks for that.
    CreditRequest,
}

impl Op {
    const ALL: [Self; 7] = [
        Self::Request,
        Self::Response,
        Self::Reset,
        Self::Shutdown,
        Self::Data,
        Self::CreditUpdate,
        Self::CreditRequest,
    ];

    /// What the number stands for; 0 is no operation.
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Reset => 3,
            Self::Shutdown => 4,
            Self::Data => 5,
            Self::CreditUpdate => 6,
            Self::CreditRequest => 7,
        }
    }
}

/// A header, with whatever values it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Whose packet it is.
    pub from_cid: u64,
    /// For whom it is.
    pub to_cid: u64,
    /// The sender's port.
    pub from_port: u32,
    /// The receiver's port.
    pub to_port: u32,
    /// Bytes that follow.
    pub length: u32,
    /// The type of the socket.
    pub kind: u16,
    /// The number of an [`Op`].
    pub op: u16,
    /// Those of a shutdown.
    pub flags: u32,
    /// The whole room of the sender's buffer in bytes.
    pub room: u32,
    /// The bytes that have left the sender's buffer, modulo 2^32.
    pub forwarded: u32,
}

impl Header {
    /// Reads one.
    pub fn read(bytes: [u8; HEADER]) -> Self {
        let mut rest = bytes.as_slice();
        Self {
            from_cid: u64::from_le_bytes(next(&mut rest)),
            to_cid: u64::from_le_bytes(next(&mut rest)),
            from_port: u32::from_le_bytes(next(&mut rest)),
            to_port: u32::from_le_bytes(next(&mut rest)),
            length: u32::from_le_bytes(next(&mut rest)),
            kind: u16::from_le_bytes(next(&mut rest)),
            op: u16::from_le_bytes(next(&mut rest)),
            flags: u32::from_le_bytes(next(&mut rest)),
            room: u32::from_le_bytes(next(&mut rest)),
            forwarded: u32::from_le_bytes(next(&mut rest)),
        }
    }

    /// As it lies in memory.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let fields: [&[u8]; 10] = [
            &self.from_cid.to_le_bytes(),
            &self.to_cid.to_le_bytes(),
            &self.from_port.to_le_bytes(),
            &self.to_port.to_le_bytes(),
            &self.length.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.op.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.room.to_le_bytes(),
            &self.forwarded.to_le_bytes(),
        ];
        for (place, byte) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *place = *byte;
        }
        bytes
    }

    /// The refusal of this packet: back to where it came from.
    pub fn reset(&self) -> Self {
        Self {
            from_cid: self.to_cid,
            to_cid: self.from_cid,
            from_port: self.to_port,
            to_port: self.from_port,
            kind: self.kind,
            op: Op::Reset.number(),
            ..Self::default()
        }
    }
}

/// The next field of a header, which is never shorter than its fields.
fn next<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    rest.split_off(..N)
        .and_then(|field| field.try_into().ok())
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_lie_where_the_specification_has_them() {
        let header = Header {
            from_cid: 3,
            to_cid: 2,
            from_port: 0x0403_0201,
            to_port: 22,
            length: 7,
            kind: STREAM,
            op: Op::Data.number(),
            flags: SHUT_BOTH,
            room: 0x1_0000,
            forwarded: 9,
        };
        let bytes = header.bytes();
        assert_eq!(bytes[..16], [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..28], [1, 2, 3, 4, 22, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(bytes[28..], [1, 0, 5, 0, 3, 0, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn operations_have_their_numbers_and_no_others() {
        for op in Op::ALL {
            assert_eq!(Op::of(op.number()), Some(op));
        }
        assert_eq!((Op::of(0), Op::of(8), Op::of(u16::MAX)), (None, None, None));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(low in any::<[u8; 22]>(), high in any::<[u8; 22]>()) {
            let bytes: [u8; HEADER] = [low, high].concat().try_into().unwrap();
            prop_assert_eq!(Header::read(bytes).bytes(), bytes);
        }
    }
}
