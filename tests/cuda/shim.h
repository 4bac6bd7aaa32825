// CUDA C on a CPU, for tests: each thread of a block is a fiber, blocks run one after another.
// A barrier holds a thread until all of its block have come; a shuffle, until all of its warp have.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define __asan_unpoison_memory_region(begin, size)
#endif

// Leaves a stack, keeping what the System V ABI for x86-64 has a function keep, for another one.
extern "C" void switch_stack(void** from, void* to);
asm(R"(
.text
switch_stack:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
)");

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__ __restrict

struct Index { unsigned int x, y, z; };
static Index blockIdx, blockDim, gridDim;

enum State { RUNNING, AT_BARRIER, AT_SHUFFLE, DONE };
struct Fiber {
  void* top;
  Index index;
  State state;
  uint64_t slot;
  uint32_t words[6];
  const unsigned short* row;
  std::vector<char> stack;
};
static std::vector<Fiber> fibers;
static void* scheduler;
static Fiber* current;
static void (*body)(void**);
static void** body_arguments;
#define threadIdx (current->index)

static void wait_as(State state) {
  current->state = state;
  switch_stack(&current->top, scheduler);
}
static inline void __syncthreads() { wait_as(AT_BARRIER); }

template <typename T> static T __shfl_xor_sync(unsigned int, T value, int distance) {
  memcpy(&current->slot, &value, sizeof(T));
  wait_as(AT_SHUFFLE);
  T other;
  memcpy(&other, &fibers[(current - fibers.data()) ^ distance].slot, sizeof(T));
  wait_as(AT_SHUFFLE);
  return other;
}

// Nobody comes between, as only one thread runs at a time.
template <typename T> static inline T atomicCAS(T* at, T expected, T value) {
  const T old = *at;
  if (old == expected) *at = value;
  return old;
}
static inline int atomicMin(int* at, int value) {
  const int old = *at;
  if (value < old) *at = value;
  return old;
}

static inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static inline int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }

// Halves, by bits; to the nearest, ties to even.
static unsigned short double_to_half(double x) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  const unsigned short sign = (unsigned short)(bits >> 48 & 0x8000);
  const double size = fabs(x);
  if (x != x) return sign | 0x7e00;
  if (size >= 65520.0) return sign | 0x7c00;
  if (size == 0) return sign;
  int exponent = 0;
  if (size > 0) frexp(size, &exponent);
  const int step = exponent - 11 < -24 ? -24 : exponent - 11;  // of the last bit
  const double units = nearbyint(ldexp(size, -step));
  if (step == -24) return sign | (unsigned short)units;
  return sign | (unsigned short)(((step + 24) << 10) + (int)units);
}
static inline unsigned short float_to_half(float x) { return double_to_half(x); }
static inline float half_to_float(unsigned short x) {
  const int exponent = x >> 10 & 31, fraction = x & 1023;
  const double size = exponent == 31 ? (fraction ? NAN : INFINITY)
                      : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                     : ldexp(fraction, -24);
  return (float)(x & 0x8000 ? -size : size);
}

// Products of fragments, as PTX lays them out over the threads of a warp: of thread 4g + t, the words
// of the left side are rows g and g + 8 at 2t (k16) or t (k8), then the same 8 (4) columns on; those
// of the right side are column g at these places; the result is rows g and g + 8 at 2t and 2t + 1.
static float bits_to_float(uint32_t x) { float y; memcpy(&y, &x, 4); return y; }
static inline float rounded_tf32(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return x != x ? x : bits_to_float((bits + 0x1000) & ~0x1fffu);  // ties away from zero
}
static inline unsigned int two_as_half(float low, float high) {
  return double_to_half(low) | (uint32_t)double_to_half(high) << 16;
}
static uint32_t high_half(float x) {  // to the nearest, ties to even
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return x != x ? 0x7fffu : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static inline unsigned int two_as_bfloat16(float low, float high) {
  return high_half(low) | high_half(high) << 16;
}
template <int K, typename F>
static void multiply_fragments(float* c, const unsigned int* a, const unsigned int* b, F number) {
  memcpy(current->words, a, 16);
  memcpy(current->words + 4, b, 8);
  wait_as(AT_SHUFFLE);
  const size_t lane = (current - fibers.data()) % 32, first = current - fibers.data() - lane;
  for (size_t i = 0; i < 4; ++i) {
    const size_t row = lane / 4 + (i >> 1) * 8, column = lane % 4 * 2 + (i & 1);
    double sum = c[i];
    for (size_t k = 0; k < K; ++k) {
      const size_t half = k / (K / 2), at = k % (K / 2), thread = K == 16 ? at / 2 : at;
      const uint32_t left = fibers[first + row % 8 * 4 + thread].words[row / 8 + 2 * half];
      const uint32_t right = fibers[first + column * 4 + thread].words[4 + half];
      sum += (double)number(left, at & 1) * number(right, at & 1);
    }
    c[i] = (float)sum;
  }
  wait_as(AT_SHUFFLE);
}
static void mma_half(float* c, const unsigned int* a, const unsigned int* b) {
  multiply_fragments<16>(c, a, b, [](uint32_t x, bool high) {
    return half_to_float((unsigned short)(high ? x >> 16 : x));
  });
}
static void mma_bfloat16(float* c, const unsigned int* a, const unsigned int* b) {
  multiply_fragments<16>(c, a, b, [](uint32_t x, bool high) {
    return bits_to_float(high ? x & 0xffff0000u : x << 16);
  });
}
static void mma_tf32(float* c, const unsigned int* a, const unsigned int* b) {
  multiply_fragments<8>(c, a, b, [](uint32_t x, bool) {
    if (x & 0x1fff && (x & 0x7fffffff) <= 0x7f800000) { fprintf(stderr, "not TF32\n"); exit(3); }
    return bits_to_float(x);
  });
}
static void matrices_turned(unsigned int* to, const void* row) {
  if ((uintptr_t)row % 16) { fprintf(stderr, "a row is not aligned\n"); exit(3); }
  current->row = (const unsigned short*)row;
  wait_as(AT_SHUFFLE);
  const size_t lane = (current - fibers.data()) % 32, first = current - fibers.data() - lane;
  for (size_t i = 0; i < 4; ++i) {
    const Fiber* rows = &fibers[first + 8 * i + lane % 4 * 2];
    to[i] = rows[0].row[lane / 4] | (uint32_t)rows[1].row[lane / 4] << 16;
  }
  wait_as(AT_SHUFFLE);
}

static void enter() {
  body(body_arguments);
  current->state = DONE;
  switch_stack(&current->top, scheduler);
}

static bool has_warp_come(size_t first) {
  for (size_t i = first; i < first + 32 && i < fibers.size(); ++i)
    if (fibers[i].state != AT_SHUFFLE && fibers[i].state != DONE) return false;
  return true;
}

// Runs one block; warps take turns in their order, or from the last to the first.
static void run_block(bool from_last) {
  for (Fiber& fiber : fibers) {
    fiber.stack.resize(64 << 10);
    __asan_unpoison_memory_region(fiber.stack.data(), fiber.stack.size());
    // The place to go to lies above six registers, where a call would have left it.
    void** top = (void**)((uintptr_t)(fiber.stack.data() + fiber.stack.size()) & ~(uintptr_t)15) - 2;
    *top = (void*)enter;
    fiber.top = top - 6;
    fiber.state = RUNNING;
  }
  const size_t warps = (fibers.size() + 31) / 32;
  for (size_t left = fibers.size(); left;) {
    bool moved = false;
    for (size_t turn = 0; turn < warps; ++turn) {
      const size_t first = 32 * (from_last ? warps - 1 - turn : turn);
      for (size_t i = first; i < first + 32 && i < fibers.size(); ++i) {
        if (fibers[i].state != RUNNING) continue;
        current = &fibers[i];
        switch_stack(&scheduler, current->top);
        left -= current->state == DONE;
        moved = true;
      }
      if (has_warp_come(first))
        for (size_t i = first; i < first + 32 && i < fibers.size(); ++i)
          if (fibers[i].state == AT_SHUFFLE) { fibers[i].state = RUNNING; moved = true; }
    }
    bool all = left > 0;
    for (Fiber& fiber : fibers) all &= fiber.state == AT_BARRIER || fiber.state == DONE;
    if (all)
      for (Fiber& fiber : fibers)
        if (fiber.state == AT_BARRIER) { fiber.state = RUNNING; moved = true; }
    if (!moved && left) { fprintf(stderr, "threads wait for each other\n"); exit(3); }
  }
}

static void launch(void (*kernel)(void**), bool meets, const long long* shape, void** arguments,
                   bool from_last) {
  gridDim = {(unsigned)shape[0], (unsigned)shape[1], 1};
  blockDim = {(unsigned)shape[2], (unsigned)shape[3], 1};
  body = kernel;
  body_arguments = arguments;
  const unsigned int threads = blockDim.x * blockDim.y;
  if (fibers.size() != threads) { fibers.clear(); fibers.resize(threads); }
  for (unsigned int i = 0; i < threads; ++i)
    fibers[i].index = {i % blockDim.x, i / blockDim.x, 0};
  for (unsigned int y = 0; y < gridDim.y; ++y)
    for (unsigned int x = 0; x < gridDim.x; ++x) {
      blockIdx = {x, y, 0};
      if (meets) { run_block(from_last); continue; }
      for (Fiber& fiber : fibers) { current = &fiber; kernel(arguments); }
    }
}

struct Entry { void (*call)(void**); bool meets; };
static long long number() {
  long long value;
  if (fread(&value, 8, 1, stdin) != 1) exit(2);
  return value;
}

// Reads buffers and launches, runs them in order, writes all buffers.
static int serve(const Entry* entries) {
  const bool from_last = number();
  std::vector<std::pair<char*, size_t>> buffers(number());
  for (auto& [memory, size] : buffers) {
    size = number();
    memory = (char*)malloc(size ? size : 1);
    if (fread(memory, 1, size, stdin) != size) return 2;
  }
  for (long long left = number(); left; --left) {
    const Entry entry = entries[number()];
    long long shape[4];
    for (long long& size : shape) size = number();
    std::vector<void*> pointers(number());
    std::vector<long long> numbers(pointers.size());
    for (size_t i = 0; i < pointers.size(); ++i) {
      const long long buffer = number();
      numbers[i] = number();
      pointers[i] = buffer < 0 ? (void*)&numbers[i] : (void*)(buffers[buffer].first + numbers[i]);
    }
    launch(entry.call, entry.meets, shape, pointers.data(), from_last);
  }
  for (auto& [memory, size] : buffers) { fwrite(memory, 1, size, stdout); free(memory); }
  return 0;
}
