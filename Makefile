# kiln: build it, see it work, test it, install it.
#
# Each of these sets up what it needs on a fresh Debian 12 with Rust and make, when run as root. What is slow to make
# (guest disks, the lab's host, the build of the tests) is kept outside the clone, in KILN_CACHE, by default ~/.cache/kiln.

SHELL := /bin/bash
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET)/release

.PHONY: help build demo test test-small test-clients bench lint install uninstall

help:
	@echo 'make build      the programs, in $(RELEASE)'
	@echo 'make demo       the life of an instance, from image to termination'
	@echo 'make test       all tests but those of test-clients; real guests boot'
	@echo 'make test-small the same without those that boot Debian'
	@echo 'make test-clients  tests that take longest: what clients of EC2 do with Debian guests'
	@echo 'make bench      measurements'
	@echo 'make lint       formatting, clippy, dependencies'
	@echo 'make install    programs, units, configuration, recipes; PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'

build:
	@tests/lab/needs cc:gcc ld:binutils
	$(CARGO) build --release --locked --workspace --bins

demo: build
	tests/demo/demo

test:
	tests/all

test-small:
	tests/all --small

test-clients:
	tests/all --clients

bench:
	tests/bench

lint:
	@tests/lab/needs cc:gcc ld:binutils shellcheck:shellcheck
	tests/lint

install: build
	install -d $(DESTDIR)$(PREFIX)/share/kiln/catalog $(DESTDIR)$(SYSCONFDIR)/kiln
	install -D -t $(DESTDIR)$(PREFIX)/bin $(RELEASE)/kiln $(RELEASE)/kilnd
	install -D -t $(DESTDIR)$(PREFIX)/lib/kiln $(RELEASE)/kiln-vmm
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system config/systemd/kilnd.socket
	sed 's|@BINDIR@|$(PREFIX)/bin|' config/systemd/kilnd.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/kilnd.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/kilnd.service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d config/sysusers.d/kiln.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/tmpfiles.d config/tmpfiles.d/kiln.conf
	cp -R --no-preserve=ownership images/catalog/. $(DESTDIR)$(PREFIX)/share/kiln/catalog/
	for file in kiln.toml instance-types.toml; do \
	  test -e $(DESTDIR)$(SYSCONFDIR)/kiln/$$file || install -m 644 config/$$file $(DESTDIR)$(SYSCONFDIR)/kiln/$$file; \
	done
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/kiln README.md CHANGELOG.md LICENSE config/examples/*
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	  $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(RELEASE)/kiln completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/kiln
	$(RELEASE)/kiln completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kiln
	$(RELEASE)/kiln completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/kiln.fish
	@test -n '$(DESTDIR)' || echo 'next: systemd-sysusers && systemctl daemon-reload && systemctl enable --now kilnd'

# What install put in place; state and configuration stay.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/, bin/kiln bin/kilnd \
	  lib/systemd/system/kilnd.service lib/systemd/system/kilnd.socket lib/sysusers.d/kiln.conf lib/tmpfiles.d/kiln.conf \
	  share/bash-completion/completions/kiln share/zsh/site-functions/_kiln share/fish/vendor_completions.d/kiln.fish)
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/, lib/kiln share/kiln share/doc/kiln)
