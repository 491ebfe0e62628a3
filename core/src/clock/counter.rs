//! The processor's own counter, where it can stand in for a clock.

/// Reads the counter, which costs less than half of what the system's clock does.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(unsafe_code, reason = "the intrinsic is an unsafe function")]
#[inline]
pub(super) fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; where an operating system forbids it, the program is
    // stopped, which is a refusal and not undefined behaviour.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Whether the counter runs at one rate on all processors, in every power state.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(super) fn is_steady() -> bool {
    // CPUID leaf 8000_0007h, EDX bit 8: invariant TSC.
    let invariant = cpuid(0x8000_0000).eax >= 0x8000_0007 && cpuid(0x8000_0007).edx >> 8 & 1 == 1;
    // Linux stops using the counter when it finds that processors disagree.
    invariant && kernel_trusts_it()
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(
    unsafe_code,
    unused_unsafe,
    reason = "the intrinsic is an unsafe function in older compilers"
)]
fn cpuid(leaf: u32) -> core::arch::x86_64::CpuidResult {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { core::arch::x86_64::__cpuid(leaf) }
}

#[cfg(all(target_arch = "x86_64", not(miri), target_os = "linux"))]
fn kernel_trusts_it() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    std::fs::read_to_string(SOURCE).is_ok_and(|source| source.trim() == "tsc")
}

#[cfg(all(target_arch = "x86_64", not(miri), not(target_os = "linux")))]
fn kernel_trusts_it() -> bool {
    true
}

#[cfg(any(not(target_arch = "x86_64"), miri))]
#[inline]
pub(super) fn ticks() -> u64 {
    0
}

#[cfg(any(not(target_arch = "x86_64"), miri))]
pub(super) fn is_steady() -> bool {
    false
}
