module echolab/contenders/go-net

// 1.19 is what Debian 12 ships. It also keeps newer toolchains on the behaviour of that time: from 1.24 on they would
// otherwise listen with Multipath TCP, which no other contender does.
go 1.19
