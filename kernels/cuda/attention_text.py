"""The text of attention in CUDA C: softmax(scale * Q K^T + mask) V, with no matrix of scores.

Each block holds some rows of Q and goes over the keys tile by tile. The greatest score of a row so
far, and the sum of the powers, are carried along, and what was summed is scaled anew where a
greater score comes: online softmax, as FlashAttention has it (arXiv 2205.14135 and 2307.08691).

`TENSOR_CORES` multiplies halves, and float32 rounded to TF32, by `mma.sync`; `EXACT` multiplies
float32 by itself. Fragments lie as the manual of PTX tells for m16n8k16 and m16n8k8.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ARGUMENTS", "EXACT", "FRAGMENTS", "SHARED", "TENSOR_CORES"]

# Sizes and strides, in elements: batches are two dimensions, of which `inner` is the last one.
ARGUMENTS: Final = (
    *("inner", "m", "n", "d", "dv"),
    *("q_outer", "q_inner", "q_row", "q_column", "k_outer", "k_inner", "k_row", "k_column"),
    *("v_outer", "v_inner", "v_row", "v_column", "o_outer", "o_inner"),
)

SHARED: Final = r"""
typedef long long I;
constexpr float LOG2E = 1.4426950408889634f;

// What stands in a tile: float32 is rounded to TF32 where tensor cores multiply it.
template <bool ROUNDED, typename T> __device__ __forceinline__ T kept(const T x) {
  if constexpr (ROUNDED && sizeof(T) == 4) return rounded_tf32(x); else return x;
}

// A tile of a matrix, with zeros where there is none of it; by all threads of a block.
template <int ROWS, int COLUMNS, int WIDTH, int THREADS, bool WIDE, bool ROUNDED, typename T>
__device__ __forceinline__ void fill(T* to, const T* __restrict__ from, const I first, const I rows,
                                     const I columns, const I row, const I column) {
  if constexpr (WIDE) {
    constexpr int N = 16 / sizeof(T);
    constexpr int PACKS = COLUMNS / N;
    for (int e = threadIdx.x; e < ROWS * PACKS; e += THREADS) {
      const int r = e / PACKS, c = e % PACKS * N;
      pack<T, N> found = {};
      const T* at = from + (first + r) * row + c;
      if (first + r < rows && c < columns) found = *(const pack<T, N>*)at;
#pragma unroll
      for (int i = 0; i < N; ++i) found.at[i] = kept<ROUNDED>(found.at[i]);
      if constexpr (WIDTH % N == 0) {
        *(pack<T, N>*)(to + r * WIDTH + c) = found;
      } else {
#pragma unroll
        for (int i = 0; i < N; ++i) to[r * WIDTH + c + i] = found.at[i];
      }
    }
  } else {
    const bool turned = row == 1 && column != 1;
    for (int e = threadIdx.x; e < ROWS * COLUMNS; e += THREADS) {
      const int r = turned ? e % ROWS : e / COLUMNS, c = turned ? e / ROWS : e % COLUMNS;
      T found = {};
      if (first + r < rows && c < columns) found = from[(first + r) * row + c * column];
      to[r * WIDTH + c] = kept<ROUNDED>(found);
    }
  }
}

// What a row whose greatest score is this is shifted by: rows of -inf alone become NaN at the end.
__device__ __forceinline__ float shift_of(const float top) { return top == -INFINITY ? 0.f : top; }
__device__ __forceinline__ float power(const float x) { return exp2f(x * LOG2E); }
"""

_BEGIN = r"""
  const I tiles = (m + ROWS - 1) / ROWS, batch = (I)blockIdx.x / tiles;
  const I first = ((I)blockIdx.x - batch * tiles) * ROWS, b0 = batch / inner, b1 = batch % inner;
  q += b0 * q_outer + b1 * q_inner;
  k += b0 * k_outer + b1 * k_inner;
  v += b0 * v_outer + b1 * v_inner;
  out += b0 * o_outer + b1 * o_inner;
  at.move(b0, b1);
"""

_PARAMETERS = "const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, "
_PARAMETERS += "T* __restrict__ out, float* __restrict__ kept_sums, Masks at, "
_PARAMETERS += ", ".join(f"const I {name}" for name in ARGUMENTS)

FRAGMENTS: Final = r"""
template <typename T> __device__ __forceinline__ unsigned int bits_of(const T x) {
  if constexpr (sizeof(T) == 4) return (unsigned int)__float_as_int(x); else return x.bits;
}
// Two neighbours in a tile, as a fragment has them.
template <typename T> __device__ __forceinline__ unsigned int two_of(const T* at) {
  return *(const unsigned int*)at;
}
__device__ __forceinline__ unsigned int two_halves(const float x, const float y) {
  return IS_BFLOAT16 ? two_as_bfloat16(x, y) : two_as_half(x, y);
}
template <typename T>
__device__ __forceinline__ void multiplied(float* c, const unsigned int* a, const unsigned int* b) {
  if constexpr (sizeof(T) == 4) mma_tf32(c, a, b);
  else if constexpr (IS_BFLOAT16) mma_bfloat16(c, a, b);
  else mma_half(c, a, b);
}
// Columns of a tile that a fragment holds, and the width of a row: no two threads of a warp meet in
// a bank.
template <typename T> constexpr int STEP = sizeof(T) == 2 ? 16 : 8;
template <typename T, int D> constexpr int WIDTH = D + (sizeof(T) == 2 ? 8 : 4);

// Adds to 16 rows of `to` a step of what is in a fragment times a tile, of which rows are columns.
template <typename T, int D, int N>
__device__ __forceinline__ void add_step(float (&to)[N][4], const unsigned int* a, const T* tile,
                                         const int s) {
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const T* at = tile + (j * 8 + g) * WIDTH<T, D> + s * STEP<T> + (sizeof(T) == 2 ? 2 * t : t);
    const unsigned int b[2] = {two_of(at), two_of(at + STEP<T> / 2)};
    multiplied<T>(to[j], a, b);
  }
}

// Adds to 16 rows of `to` those of `from`, as products leave them, times a tile.
template <typename T, int D, int N>
__device__ __forceinline__ void add_product(float (&to)[D / 8][4], const float (&from)[N][4],
                                            const T* tile) {
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  if constexpr (sizeof(T) == 2) {
#pragma unroll
    for (int s = 0; s < N / 2; ++s) {
      const float* x = from[2 * s];
      const float* y = from[2 * s + 1];
      const unsigned int a[4] = {two_halves(x[0], x[1]), two_halves(x[2], x[3]),
                                 two_halves(y[0], y[1]), two_halves(y[2], y[3])};
#pragma unroll
      for (int j = 0; j < D / 16; ++j) {
        unsigned int b[4];
        matrices_turned(b, tile + (s * 16 + (lane & 15)) * WIDTH<T, D> + j * 16 + (lane >> 4) * 8);
        multiplied<T>(to[2 * j], a, b);
        multiplied<T>(to[2 * j + 1], a, b + 2);
      }
    }
  } else {
    // The rows 2t and 2t + 1 stand where a fragment has its elements t and t + 4: in both sides.
#pragma unroll
    for (int s = 0; s < N; ++s) {
      const float* x = from[s];
      const unsigned int a[4] = {bits_of(kept<true>(x[0])), bits_of(kept<true>(x[2])),
                                 bits_of(kept<true>(x[1])), bits_of(kept<true>(x[3]))};
#pragma unroll
      for (int j = 0; j < D / 8; ++j) {
        const T* at = tile + (s * 8 + 2 * t) * WIDTH<T, D> + j * 8 + g;
        const unsigned int b[2] = {two_of(at), two_of(at + WIDTH<T, D>)};
        multiplied<T>(to[j], a, b);
      }
    }
  }
}
"""

TENSOR_CORES: Final = (
    FRAGMENTS
    + r"""
// Four warps, each with 16 rows of Q in fragments. D is a multiple of 16, columns behind d are 0.
template <typename T, int D, bool WIDE>
__device__ __forceinline__ void attend("""
    + _PARAMETERS
    + r""") {
  constexpr bool HALVES = sizeof(T) == 2;
  constexpr int ROWS = 64;
  constexpr int KEYS = HALVES ? (D <= 96 ? 64 : 32) : D <= 112 || !IS_SHARED ? 32 : 16;
  alignas(16) __shared__ T keys[KEYS * WIDTH<T, D>];
  alignas(16) __shared__ T values[KEYS * WIDTH<T, D>];
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
"""
    + _BEGIN
    + r"""
  const I own = first + (threadIdx.x >> 5) * 16 + g;  // and the row 8 behind it
  unsigned int rows[D / STEP<T>][4];
#pragma unroll
  for (int s = 0; s < D / STEP<T>; ++s)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const I r = own + (i & 1) * 8;
      unsigned int found = 0;
#pragma unroll
      for (int h = 0; h < (HALVES ? 2 : 1); ++h) {
        const I c = s * STEP<T> + (i >> 1) * (STEP<T> / 2) + (HALVES ? 2 * t + h : t);
        if (r < m && c < d) found |= bits_of(kept<true>(q[r * q_row + c * q_column])) << (16 * h);
      }
      rows[s][i] = found;
    }
  float sums[D / 8][4] = {};
  float top[2] = {-INFINITY, -INFINITY}, total[2] = {0.f, 0.f};
  for (I from = 0; from < n; from += KEYS) {
    __syncthreads();
    fill<KEYS, D, WIDTH<T, D>, 128, WIDE, true>(keys, k, from, n, d, k_row, k_column);
    fill<KEYS, D, WIDTH<T, D>, 128, WIDE, true>(values, v, from, n, dv, v_row, v_column);
    __syncthreads();
    float scores[KEYS / 8][4] = {};
#pragma unroll
    for (int s = 0; s < D / STEP<T>; ++s) add_step<T, D>(scores, rows[s], keys, s);
    float greatest[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int j = 0; j < KEYS / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const I r = own + (i >> 1) * 8, c = from + j * 8 + 2 * t + (i & 1);
        float score = scores[j][i];
        if (!IS_MASKED || (r < m && c < n)) score = scored(score, at, r, c);
        scores[j][i] = c < n ? score : -INFINITY;
        greatest[i >> 1] = fmaxf(greatest[i >> 1], scores[j][i]);
      }
    float shift[2], factor[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      greatest[h] = fmaxf(greatest[h], shuffled(greatest[h], 1));
      greatest[h] = fmaxf(top[h], fmaxf(greatest[h], shuffled(greatest[h], 2)));
      shift[h] = shift_of(greatest[h]);
      factor[h] = power(top[h] - shift[h]);
      top[h] = greatest[h];
      total[h] *= factor[h];
    }
#pragma unroll
    for (int j = 0; j < KEYS / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float found = power(scores[j][i] - shift[i >> 1]);
        total[i >> 1] += found;
        scores[j][i] = found;
        if constexpr (IS_SHARED) {
          const I r = own + (i >> 1) * 8, c = from + j * 8 + 2 * t + (i & 1);
          if (r < m && c < n) scores[j][i] = shared_out(found, at, r, c);
        }
      }
#pragma unroll
    for (int j = 0; j < D / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[j][i] *= factor[i >> 1];
    add_product<T, D>(sums, scores, values);
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    total[h] += shuffled(total[h], 1);
    total[h] += shuffled(total[h], 2);
    const I r = own + h * 8;
    if constexpr (KEEPS) {
      if (r < m && t == 0) {
        kept_sums[2 * (batch * m + r)] = shift_of(top[h]);
        kept_sums[2 * (batch * m + r) + 1] = 1.f / total[h];
      }
    }
  }
#pragma unroll
  for (int j = 0; j < D / 8; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const I r = own + (i >> 1) * 8, c = j * 8 + 2 * t + (i & 1);
      if (r < m && c < dv) store(out[r * dv + c], sums[j][i] / total[i >> 1]);
    }
}
"""
)

EXACT: Final = (
    r"""
// Sixteen groups of eight threads: a group has each sixteenth row, a thread each eighth column.
template <typename T, int D, bool WIDE>
__device__ __forceinline__ void attend("""
    + _PARAMETERS
    + r""") {
  constexpr int ROWS = D > 64 ? 32 : 64, KEYS = 32, OWN = ROWS / 16, WIDTH = D + 1;
  __shared__ T rows[ROWS * WIDTH];
  __shared__ T tile[KEYS * WIDTH];  // the keys, then their values
  __shared__ T powers[ROWS * (KEYS + 1)];
  const int x = threadIdx.x & 7, y = threadIdx.x >> 3;
"""
    + _BEGIN
    + r"""
  fill<ROWS, D, WIDTH, 128, WIDE, false>(rows, q, first, m, d, q_row, q_column);
  T sums[OWN][D / 8] = {};
  T top[OWN], total[OWN] = {};
#pragma unroll
  for (int i = 0; i < OWN; ++i) top[i] = -INFINITY;
  for (I from = 0; from < n; from += KEYS) {
    __syncthreads();
    fill<KEYS, D, WIDTH, 128, WIDE, false>(tile, k, from, n, d, k_row, k_column);
    __syncthreads();
    T scores[OWN][KEYS / 8] = {};
#pragma unroll 4
    for (int c = 0; c < D; ++c) {
      T near[OWN];
#pragma unroll
      for (int i = 0; i < OWN; ++i) near[i] = rows[(y + 16 * i) * WIDTH + c];
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j) {
        const T far = tile[(x + 8 * j) * WIDTH + c];
#pragma unroll
        for (int i = 0; i < OWN; ++i) scores[i][j] += near[i] * far;
      }
    }
#pragma unroll
    for (int i = 0; i < OWN; ++i) {
      const I r = first + y + 16 * i;
      T greatest = -INFINITY;
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j) {
        const I c = from + x + 8 * j;
        T score = scores[i][j];
        if (!IS_MASKED || (r < m && c < n)) score = scored(score, at, r, c);
        scores[i][j] = c < n ? score : -INFINITY;
        greatest = fmaxf(greatest, scores[i][j]);
      }
#pragma unroll
      for (int step = 1; step < 8; step *= 2) greatest = fmaxf(greatest, shuffled(greatest, step));
      greatest = fmaxf(greatest, top[i]);
      const T shift = shift_of(greatest), factor = power(top[i] - shift);
      top[i] = greatest;
      total[i] *= factor;
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j) {
        const T found = power(scores[i][j] - shift);
        total[i] += found;
        T given = found;
        if constexpr (IS_SHARED) {
          const I c = from + x + 8 * j;
          if (r < m && c < n) given = shared_out(found, at, r, c);
        }
        powers[(y + 16 * i) * (KEYS + 1) + x + 8 * j] = given;
      }
#pragma unroll
      for (int j = 0; j < D / 8; ++j) sums[i][j] *= factor;
    }
    __syncthreads();
    fill<KEYS, D, WIDTH, 128, WIDE, false>(tile, v, from, n, dv, v_row, v_column);
    __syncthreads();
#pragma unroll 4
    for (int c = 0; c < KEYS; ++c) {
      T near[OWN];
#pragma unroll
      for (int i = 0; i < OWN; ++i) near[i] = powers[(y + 16 * i) * (KEYS + 1) + c];
#pragma unroll
      for (int j = 0; j < D / 8; ++j) {
        const T far = tile[c * WIDTH + x + 8 * j];
#pragma unroll
        for (int i = 0; i < OWN; ++i) sums[i][j] += near[i] * far;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < OWN; ++i) {
    const I r = first + y + 16 * i;
#pragma unroll
    for (int step = 1; step < 8; step *= 2) total[i] += shuffled(total[i], step);
#pragma unroll
    for (int j = 0; j < D / 8; ++j) {
      const int c = x + 8 * j;
      if (r < m && c < dv) out[r * dv + c] = sums[i][j] / total[i];
    }
  }
}
"""
)
