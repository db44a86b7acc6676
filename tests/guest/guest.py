# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with Debian's kernel: for what this machine's kernel may lack. Emulated (TCG), never KVM."""
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
META_PACKAGE = "linux-image-cloud-amd64"
# What boots, and what the cases need. `name options`.
MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "loop max_loop=0", "fuse", "nbd nbds_max=8 max_part=15", "isofs", "udf", "vfat",
           "nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859-1"]
BOOT_SECONDS = 420


class Unavailable(Exception):
    """Why there can be no guest here."""


def output_of(*words):
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, words))}: {result.stdout}{result.stderr}")
    return result.stdout


class Package:
    """A Debian package, unpacked below `cache`; nothing of it is installed."""

    def __init__(self, cache):
        cache.mkdir(parents=True, exist_ok=True)
        try:
            self.tree = self.fetch(cache)
        except Unavailable:
            kept = sorted(path for path in cache.glob(self.KEPT) if path.suffix != ".tmp")
            if not kept:
                raise
            self.tree = kept[-1]

    @staticmethod
    def with_version(name):
        version = re.search(r"^Version: (\S+)", output_of("apt-cache", "show", "--no-all-versions", name), re.M)
        if not version:
            raise Unavailable(f"there is no package {name}")
        return name, version[1]

    def fetch(self, cache):
        """The lists of a fresh machine are empty or stale: they are fetched only when they do not do."""
        try:
            return self.unpack(cache, *self.name())
        except Unavailable:
            output_of("apt-get", "-qq", "update")
            return self.unpack(cache, *self.name())

    def unpack(self, cache, name, version):
        tree = cache / f"{name}_{version}"
        if tree.exists():
            return tree
        with tempfile.TemporaryDirectory(dir=cache, suffix=".tmp") as place:
            place = pathlib.Path(place)
            result = subprocess.run(["apt-get", "-qq", "download", name], cwd=place, capture_output=True, text=True, check=False)
            packages = list(place.glob("*.deb"))
            if not packages:
                raise Unavailable(f"apt-get download {name}: {result.stderr}")
            output_of("dpkg-deb", "-x", packages[0], place / "tree")
            self.complete(place / "tree")
            (place / "tree").rename(tree)
        return tree

    def complete(self, tree):
        pass


class Udev(Package):
    KEPT = "udev_*"

    def name(self):
        return self.with_version("udev")


class Kernel(Package):
    KEPT = "linux-image-*"

    def __init__(self, cache):
        super().__init__(cache)
        self.version = next((self.tree / "lib/modules").iterdir()).name
        self.image = self.tree / "boot" / f"vmlinuz-{self.version}"

    def name(self):
        """Of the package behind the one that always names the newest, with its version."""
        found = re.search(r"Depends: (linux-image-\S+)", output_of("apt-cache", "depends", META_PACKAGE))
        if not found:
            raise Unavailable(f"{META_PACKAGE} names no kernel")
        return self.with_version(found[1])

    def complete(self, tree):
        output_of("depmod", "-b", tree, next((tree / "lib/modules").iterdir()).name)

    def modules(self, wanted):
        """Files to load, in this order, with their options."""
        files = {}
        for line in wanted:
            name, *options = line.split()
            needs = output_of("modprobe", "-C", "/dev/null", "-d", self.tree, "-S", self.version, "--show-depends", name)
            for need in needs.splitlines():
                kind, _, path = need.strip().partition(" ")
                if kind == "insmod":
                    file = pathlib.Path(path.split()[0])
                    files.setdefault(file, " ".join(options) if file.stem.replace("-", "_") == name.replace("-", "_") else "")
        return files


class Archive:
    """What the guest has as its root: a cpio archive ("newc"), as the kernel unpacks it."""

    LIBRARIES = "lib/x86_64-linux-gnu"

    def __init__(self):
        self.entries = {}
        for name in ("bin", "dev", "mnt"):
            self.folder(name)

    def add(self, name, mode, data=b""):
        name = str(name).lstrip("/")
        parent = str(pathlib.PurePosixPath(name).parent)
        if parent != "." and parent not in self.entries:
            self.folder(parent)
        self.entries[name] = (mode, data)

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, str(target).encode())

    def file(self, name, data, mode=0o644):
        self.add(name, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def copy(self, source, name):
        source = pathlib.Path(source)
        self.file(name, source.read_bytes(), stat.S_IMODE(source.stat().st_mode))

    def program(self, source, name=None):
        """With the libraries that it needs, whichever folder they come from here."""
        path = shutil.which(str(source))
        if path is None:
            raise Unavailable(f"{source} is not installed")
        self.copy(path, name or f"usr/bin/{pathlib.Path(path).name}")
        self.libraries(path)

    def libraries(self, path):
        said = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
        for line in said.splitlines():
            if found := re.search(r"=> (/\S+)", line):
                self.copy(os.path.realpath(found[1]), f"{self.LIBRARIES}/{line.split()[0]}")
            elif found := re.match(r"\s*(/\S+ld-linux\S+)", line):
                self.copy(os.path.realpath(found[1]), found[1])

    def udev(self, package):
        """The daemon with its rules, and ours as the package installs it."""
        for name in ("bin/udevadm", "lib/systemd/systemd-udevd"):
            # One program of two names.
            self.copy((package.tree / "bin/udevadm").resolve(), name)
        self.libraries(package.tree / "bin/udevadm")
        for rules in (package.tree / "lib/udev/rules.d").iterdir():
            self.copy(rules, f"lib/udev/rules.d/{rules.name}")
        ours = (HERE.parents[1] / "cmake/61-vdisk.rules.in").read_text()
        self.file("usr/lib/udev/rules.d/61-vdisk.rules", ours.replace("@CMAKE_INSTALL_FULL_BINDIR@", "/usr/bin"))
        self.file("etc/udev/udev.conf", "")
        self.file("etc/group", "root:x:0:\ndisk:x:6:\n")
        self.file("etc/passwd", "root:x:0:0::/:/bin/sh\n")

    def system(self, kernel, modules=None):
        """busybox, the modules and our init."""
        self.copy(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
        self.copy(HERE / "guest/init", "init")
        for name in ("reporting.sh", "cases.sh"):
            self.copy(HERE / "guest" / name, f"cases/{name}")
        lines = ""
        for path, options in kernel.modules(MODULES if modules is None else modules).items():
            self.copy(path, f"modules/{path.name}")
            lines += f"/modules/{path.name} {options}\n"
        self.file("modules/list", lines)

    def write(self, path):
        with open(path, "wb") as out:
            for number, (name, (mode, data)) in enumerate([*self.entries.items(), ("TRAILER!!!", (0, b""))], 1):
                encoded = name.encode() + b"\0"
                fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
                head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
                out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))


class Report:
    def __init__(self):
        self.cases = {}
        self.said = {}
        self.ended = False
        self.console = ""
        self.seconds = 0.0


class Guest:
    """One life of the machine. `on_ask` is called with what a scenario asks for."""

    def __init__(self, folder, kernel=None, archive=None, drives=(), memory_mib=768, on_ask=None):
        self.folder = pathlib.Path(folder)
        self.on_ask = on_ask or (lambda what: None)
        self.words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(memory_mib),
                      "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                      "-serial", f"file:{self.folder / 'console'}", "-serial", "stdio",
                      "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
        for drive in drives:
            self.words += ["-drive", drive]
        if kernel:  # else what the drives boot
            archive.write(self.folder / "initrd")
            self.words += ["-kernel", str(kernel.image), "-initrd", str(self.folder / "initrd"),
                           "-append", "console=ttyS0 panic=-1 quiet"]

    def run(self, seconds=BOOT_SECONDS):
        """Until the guest is off. Raises AssertionError, with the console's end, when it does not come to that."""
        report = Report()
        begin = time.monotonic()
        with open(self.folder / "qemu-said", "w+") as said:
            process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
            late = threading.Timer(seconds, process.kill)
            late.start()
            try:
                for line in process.stdout:
                    self.take(line.decode(errors="replace").strip(), report, process)
                status = process.wait()
            finally:
                late.cancel()
                process.kill()
                process.wait()
                process.stdin.close()
                process.stdout.close()
            said.seek(0)
            trouble = said.read()
        report.seconds = time.monotonic() - begin
        console = self.folder / "console"
        report.console = console.read_text(errors="replace") if console.exists() else ""
        if status != 0 or not report.ended:
            raise AssertionError(f"the guest did not end by itself in {report.seconds:.0f} s (QEMU's status {status}) {trouble}\n"
                                 f"cases: {report.cases}\nconsole: …{report.console[-3000:]}")
        return report

    def take(self, line, report, process):
        kind, _, rest = line.partition(" ")
        if kind == "CASE":
            name, _, result = rest.partition(" ")
            report.cases[name] = result
        elif kind == "SAY":
            name, _, value = rest.partition(" ")
            report.said[name] = value
        elif kind == "ASK":
            self.on_ask(rest)
            process.stdin.write(b"done\n")
            process.stdin.flush()
        elif kind == "END":
            report.ended = True
