#!/bin/sh
# Makes small disks and images to begin fuzzing with. Needs e2fsprogs, dosfstools, mtools, gdisk and qemu-utils.
set -eu
corpus=$(dirname "$(realpath "$0")")/corpus
mkdir -p "$corpus/boot_find" "$corpus/import" "$corpus/kernel"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/boot/grub" "$work/root/loader/entries" "$work/root/etc"
echo kernel >"$work/root/boot/vmlinuz-1"
ln -s boot/vmlinuz-1 "$work/root/vmlinuz"
printf 'title x\nlinux /boot/vmlinuz-1\noptions ro\n' >"$work/root/loader/entries/x.conf"
cat >"$work/root/boot/grub/grub.cfg" <<'END'
set default="${saved_entry}"
function f { set a="${1}$@"
}
if [ -s $prefix/grubenv -o ! x = y ]; then load_env; else f 1; fi
for i in 1 2; do search --no-floppy --label --set=root x; done
menuentry 'a' --id b { linux /boot/vmlinuz-1 ro
}
submenu c { menuentry d { linux /boot/vmlinuz-1
}
}
END
for options in '-b 1024' '-b 1024 -O ^metadata_csum' '-b 1024 -t ext2' '-b 4096'; do
    # shellcheck disable=SC2086
    mke2fs -q -t ext4 $options -d "$work/root" "$corpus/boot_find/ext4$(echo "$options" | tr -c 'a-z0-9\n' _)" 512k 2>/dev/null || true
done
for bits in 12 16 32; do
    disk=$corpus/boot_find/fat$bits
    truncate -s "$([ $bits = 12 ] && echo 200K || { [ $bits = 16 ] && echo 3M || echo 34M; })" "$disk"
    mkfs.vfat -F $bits -s 1 "$disk" >/dev/null
    rm -f "$work/root/vmlinuz"
    mcopy -s -i "$disk" "$work"/root/* ::/
done
truncate -s 3M "$corpus/boot_find/gpt"
sgdisk -n 1:2048:3071 -t 1:ef00 "$corpus/boot_find/gpt" >/dev/null
dd if="$corpus/boot_find/fat12" of="$corpus/boot_find/gpt" bs=1M seek=1 conv=notrunc status=none
head -c 100000 /dev/urandom >"$work/raw"
for kind in '1 qcow2' '1 qcow2 -c' '2 vmdk' '2 vmdk -o subformat=streamOptimized' '3 vpc' '3 vpc -o subformat=fixed'; do
    # shellcheck disable=SC2086
    set -- $kind
    number=$1 format=$2
    shift 2
    qemu-img convert -f raw -O "$format" "$@" "$work/raw" "$work/image"
    { printf "\\00$number"; cat "$work/image"; } >"$corpus/import/$(echo "$kind" | tr -c 'a-z0-9\n' _)"
done
# The number after VHD's; the last image that was made is the disk.
cat >"$work/x.ovf" <<'END'
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References><File ovf:id="f" ovf:href="image"/></References>
<DiskSection><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="1"/></DiskSection></Envelope>
END
(cd "$work" && sha256sum x.ovf image) | sed 's/\([^ ]*\)  \(.*\)/SHA256(\2)= \1/' >"$work/x.mf"
for files in 'x.ovf image' 'x.ovf x.mf image'; do
    # shellcheck disable=SC2086
    { printf '\004'; tar -C "$work" --format=ustar -c $files; } >"$corpus/import/ova_$(echo "$files" | wc -w)"
done
