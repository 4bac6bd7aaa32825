/* The functions of cublasLt.h that tfsession calls, on memory of the host: plain loops, strict checks.
 *
 * What the real library documents as an error is one here: sizes of attributes, leading dimensions,
 * types that do not go together, alignment, vectors that are missing, algorithms of other problems.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { R32 = 0, R64 = 1, R16 = 2, C32 = 4, C64 = 5, BF16 = 14 };
enum { COMPUTE_32 = 68, COMPUTE_TF32 = 77, COMPUTE_64 = 70 };
enum { RELU = 2, BIAS = 4, GELU = 32, BGRADA = 256, BGRADB = 512 };

typedef struct { int kind; int type; uint64_t rows, columns; int64_t lead; int batch; int64_t step; } Layout;
typedef struct { int kind; int compute, scale, turns[2]; uint32_t epilogue; char *vector; } Desc;
typedef struct { int kind; uint64_t workspace; uint32_t alignments[4]; } Preference;
typedef struct { char magic[8]; uint64_t problem, workspace; char rest[40]; } Algorithm;
typedef struct { Algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; } Found;
enum { LAYOUT = 0x4c41, DESC = 0x4445, PREFERENCE = 0x5052 };

static long products = 0;
static int alive = 0, refuses = 0;
static uint64_t last_workspace = 0;
static const int HANDLE = 0x4c54;

long fake_products(void) { return products; }
int fake_alive(void) { return alive; }
uint64_t fake_last_workspace(void) { return last_workspace; }
void fake_refuse(int times) { refuses = times; }

size_t cublasLtGetVersion(void) { return 120903; }

int cublasLtCreate(void **handle) {
    if (!handle) return INVALID_VALUE;
    *handle = (void *)&HANDLE;
    return SUCCESS;
}

/* --- descriptions ---------------------------------------------------------------------------- */

static void *made(size_t size, int kind) {
    int *found = calloc(1, size);
    *found = kind;
    alive++;
    return found;
}

static int ended(void *object, int kind) {
    if (!object || *(int *)object != kind) return INVALID_VALUE;
    *(int *)object = 0;
    free(object);
    alive--;
    return SUCCESS;
}

static int size_of(int type) {
    switch (type) {
    case R32: return 4;
    case R64: case C32: return 8;
    case R16: case BF16: return 2;
    case C64: return 16;
    }
    return 0;
}

int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns, int64_t lead) {
    if (!out || !size_of(type) || !rows || !columns) return INVALID_VALUE;
    Layout *layout = made(sizeof(Layout), LAYOUT);
    layout->type = type, layout->rows = rows, layout->columns = columns, layout->lead = lead, layout->batch = 1;
    *out = layout;
    return SUCCESS;
}
int cublasLtMatrixLayoutDestroy(void *layout) { return ended(layout, LAYOUT); }

int cublasLtMatrixLayoutSetAttribute(Layout *layout, int attribute, const void *value, size_t size) {
    if (!layout || layout->kind != LAYOUT || !value) return INVALID_VALUE;
    if (attribute == 5 && size == 4) { layout->batch = *(const int32_t *)value; return SUCCESS; }
    if (attribute == 6 && size == 8) { layout->step = *(const int64_t *)value; return SUCCESS; }
    return INVALID_VALUE;
}

int cublasLtMatmulDescCreate(void **out, int compute, int scale) {
    if (!out || (compute != COMPUTE_32 && compute != COMPUTE_TF32 && compute != COMPUTE_64)) return INVALID_VALUE;
    Desc *desc = made(sizeof(Desc), DESC);
    desc->compute = compute, desc->scale = scale, desc->epilogue = 1;
    *out = desc;
    return SUCCESS;
}
int cublasLtMatmulDescDestroy(void *desc) { return ended(desc, DESC); }

int cublasLtMatmulDescSetAttribute(Desc *desc, int attribute, const void *value, size_t size) {
    if (!desc || desc->kind != DESC || !value) return INVALID_VALUE;
    if ((attribute == 3 || attribute == 4) && size == 4) {
        int turn = *(const int32_t *)value;
        if (turn < 0 || turn > 2) return INVALID_VALUE;
        desc->turns[attribute - 3] = turn;
        return SUCCESS;
    }
    if (attribute == 7 && size == 4) { desc->epilogue = *(const uint32_t *)value; return SUCCESS; }
    if (attribute == 8 && size == 8) { desc->vector = *(char *const *)value; return SUCCESS; }
    return INVALID_VALUE;
}

int cublasLtMatmulPreferenceCreate(void **out) {
    if (!out) return INVALID_VALUE;
    Preference *preference = made(sizeof(Preference), PREFERENCE);
    for (int i = 0; i < 4; i++) preference->alignments[i] = 256;
    *out = preference;
    return SUCCESS;
}
int cublasLtMatmulPreferenceDestroy(void *preference) { return ended(preference, PREFERENCE); }

int cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value, size_t size) {
    if (!preference || preference->kind != PREFERENCE || !value) return INVALID_VALUE;
    if (attribute == 1 && size == 8) { preference->workspace = *(const uint64_t *)value; return SUCCESS; }
    if (attribute >= 5 && attribute <= 8 && size == 4) {
        preference->alignments[attribute - 5] = *(const uint32_t *)value;
        return SUCCESS;
    }
    return INVALID_VALUE;
}

/* --- problems -------------------------------------------------------------------------------- */

static int is_complex(int type) { return type == C32 || type == C64; }

static uint64_t mixed(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3u; }

static uint64_t fingerprint(const Desc *desc, const Layout *const *layouts) {
    uint64_t hash = 0xcbf29ce484222325u;
    hash = mixed(mixed(mixed(mixed(hash, desc->compute), desc->turns[0]), desc->turns[1]), desc->epilogue);
    for (int i = 0; i < 4; i++) {
        const Layout *l = layouts[i];
        hash = mixed(mixed(mixed(mixed(mixed(hash, l->type), l->rows), l->columns), l->lead), l->batch);
        hash = mixed(hash, l->step);
    }
    return hash;
}

/* INVALID_VALUE for what contradicts itself, NOT_SUPPORTED for what is only not there. */
static int checked(const Desc *desc, const Layout *const *layouts) {
    if (!desc || desc->kind != DESC) return INVALID_VALUE;
    uint64_t rows[4], columns[4];
    for (int i = 0; i < 4; i++) {
        const Layout *l = layouts[i];
        if (!l || l->kind != LAYOUT || l->type != layouts[0]->type) return INVALID_VALUE;
        if (l->lead < (int64_t)l->rows || l->batch < 1 || l->batch != layouts[0]->batch) return INVALID_VALUE;
        int is_turned = i < 2 && desc->turns[i];
        rows[i] = is_turned ? l->columns : l->rows;
        columns[i] = is_turned ? l->rows : l->columns;
    }
    if (columns[0] != rows[1] || rows[0] != rows[2] || columns[1] != columns[2]) return INVALID_VALUE;
    if (rows[2] != rows[3] || columns[2] != columns[3] || layouts[2]->lead != layouts[3]->lead) return INVALID_VALUE;
    if (layouts[3]->batch > 1 && layouts[3]->step < layouts[3]->lead * (int64_t)(columns[3] - 1) + (int64_t)rows[3]
        && layouts[3]->step * layouts[3]->batch > layouts[3]->lead) return INVALID_VALUE;
    int type = layouts[0]->type, is_wide = type == R64 || type == C64;
    if (is_wide != (desc->compute == COMPUTE_64)) return INVALID_VALUE;
    if (desc->scale != (is_complex(type) || is_wide ? type : R32)) return INVALID_VALUE;
    if (desc->compute == COMPUTE_TF32 && type != R32 && type != C32) return NOT_SUPPORTED;
    uint32_t epilogue = desc->epilogue;
    if (epilogue != 1 && (is_complex(type) || is_wide)) return NOT_SUPPORTED;
    if (epilogue & (BGRADA | BGRADB) && (epilogue & (epilogue - 1) || layouts[0]->batch > 1)) return NOT_SUPPORTED;
    if (epilogue != 1 && epilogue & ~(uint32_t)(RELU | BIAS | GELU | BGRADA | BGRADB)) return NOT_SUPPORTED;
    if (epilogue & RELU && epilogue & GELU) return INVALID_VALUE;
    return SUCCESS;
}

int cublasLtMatmulAlgoGetHeuristic(void *handle, Desc *desc, Layout *a, Layout *b, Layout *c, Layout *d,
                                   Preference *preference, int asked, Found *found, int *count) {
    const Layout *layouts[4] = {a, b, c, d};
    if (handle != &HANDLE) return NOT_INITIALIZED;
    if (!preference || preference->kind != PREFERENCE || asked < 1 || !found || !count) return INVALID_VALUE;
    *count = 0;
    int status = checked(desc, layouts);
    if (status) return status;
    for (int i = 0; i < 4; i++)
        if (preference->alignments[i] % (size_of(a->type) > 8 ? 8 : size_of(a->type))) return INVALID_VALUE;
    const uint64_t workspaces[3] = {1 << 16, 0, 5 << 20};
    for (int i = 0; i < 3 && *count < asked; i++) {
        if (workspaces[i] > preference->workspace) continue;
        Found *one = &found[(*count)++];
        memset(one, 0, sizeof *one);
        memcpy(one->algorithm.magic, "fakealgo", 8);
        one->algorithm.problem = fingerprint(desc, layouts);
        one->algorithm.workspace = one->workspace = workspaces[i];
    }
    return *count ? SUCCESS : NOT_SUPPORTED;
}

int cublasLtMatmulAlgoCheck(void *handle, Desc *desc, Layout *a, Layout *b, Layout *c, Layout *d,
                            const Algorithm *algorithm, Found *found) {
    const Layout *layouts[4] = {a, b, c, d};
    if (handle != &HANDLE) return NOT_INITIALIZED;
    int status = checked(desc, layouts);
    if (status) return status;
    if (memcmp(algorithm->magic, "fakealgo", 8) || algorithm->problem != fingerprint(desc, layouts))
        return INVALID_VALUE;
    found->workspace = algorithm->workspace;
    return SUCCESS;
}

/* --- numbers --------------------------------------------------------------------------------- */

typedef struct { double re, im; } Number;

static float bits_to_float(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static uint32_t float_to_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

static double half_to_double(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double value = exponent == 31 ? (fraction ? NAN : INFINITY)
                 : exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h >> 15 ? -value : value;
}

static uint16_t double_to_half(double x) {
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    x = fabs(x);
    if (isnan(x)) return sign | 0x7e00;
    if (x >= 65520) return sign | 0x7c00;
    int exponent;
    frexp(x, &exponent);
    int shift = exponent - 11 < -24 ? -24 : exponent - 11;
    double whole = nearbyint(ldexp(x, -shift));
    if (whole >= 2048) whole /= 2, shift++;
    uint16_t fraction = (uint16_t)whole;
    return sign | (fraction < 1024 ? fraction : (uint16_t)((shift + 25) << 10 | (fraction - 1024)));
}

static Number load(const char *at, int type, int64_t index) {
    Number n = {0, 0};
    const char *p = at + index * size_of(type);
    switch (type) {
    case R32: n.re = *(const float *)p; break;
    case R64: n.re = *(const double *)p; break;
    case R16: n.re = half_to_double(*(const uint16_t *)p); break;
    case BF16: n.re = bits_to_float((uint32_t)*(const uint16_t *)p << 16); break;
    case C32: n.re = ((const float *)p)[0], n.im = ((const float *)p)[1]; break;
    case C64: n.re = ((const double *)p)[0], n.im = ((const double *)p)[1]; break;
    }
    return n;
}

static void store(char *at, int type, int64_t index, Number n) {
    char *p = at + index * size_of(type);
    switch (type) {
    case R32: *(float *)p = (float)n.re; break;
    case R64: *(double *)p = n.re; break;
    case R16: *(uint16_t *)p = double_to_half((float)n.re); break;
    case BF16: {
        uint32_t bits = float_to_bits((float)n.re);
        *(uint16_t *)p = isnan(n.re) ? 0x7fc0 : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        break;
    }
    case C32: ((float *)p)[0] = (float)n.re, ((float *)p)[1] = (float)n.im; break;
    case C64: ((double *)p)[0] = n.re, ((double *)p)[1] = n.im; break;
    }
}

static double to_tf32(double x) {
    uint32_t bits = float_to_bits((float)x);
    return isfinite(x) ? bits_to_float((bits + 0x1000) & ~0x1fffu) : x;
}

static Number factor(const Desc *desc, const Layout *layout, int side, const char *at, int64_t i, int64_t j) {
    int turn = desc->turns[side];
    Number n = load(at, layout->type, turn ? j + i * layout->lead : i + j * layout->lead);
    if (turn == 2) n.im = -n.im;
    if (desc->compute == COMPUTE_TF32) n.re = to_tf32(n.re), n.im = to_tf32(n.im);
    return n;
}

static double finished(double x, uint32_t epilogue) {
    if (epilogue & RELU) return x > 0 || isnan(x) ? x : 0;
    if (epilogue & GELU) return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    return x;
}

/* --- products -------------------------------------------------------------------------------- */

static void multiply(const Desc *desc, const Layout *const *l, const char *a, const char *b, char *d) {
    int64_t rows = l[3]->rows, columns = l[3]->columns, inner = desc->turns[0] ? l[0]->rows : l[0]->columns;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            Number sum = {0, 0};
            for (int64_t k = 0; k < inner; k++) {
                Number x = factor(desc, l[0], 0, a, i, k), y = factor(desc, l[1], 1, b, k, j);
                sum.re += x.re * y.re - x.im * y.im;
                sum.im += x.re * y.im + x.im * y.re;
            }
            if (desc->epilogue & BIAS) sum.re += load(desc->vector, l[3]->type, i).re;
            if (desc->epilogue != 1) sum.re = finished(sum.re, desc->epilogue);
            store(d, l[3]->type, i + j * l[3]->lead, sum);
        }
    int by_rows = desc->epilogue == BGRADA;
    if (!by_rows && desc->epilogue != BGRADB) return;
    for (int64_t i = 0; i < (by_rows ? rows : columns); i++) {
        Number sum = {0, 0};
        for (int64_t k = 0; k < inner; k++)
            sum.re += by_rows ? factor(desc, l[0], 0, a, i, k).re : factor(desc, l[1], 1, b, k, i).re;
        store(desc->vector, l[3]->type, i, sum);
    }
}

int cublasLtMatmul(void *handle, Desc *desc, const void *alpha, const char *a, Layout *la, const char *b, Layout *lb,
                   const void *beta, const char *c, Layout *lc, char *d, Layout *ld, const Algorithm *algorithm,
                   char *workspace, size_t size, void *stream) {
    const Layout *layouts[4] = {la, lb, lc, ld};
    const char *addresses[4] = {a, b, c, d};
    (void)stream;
    if (handle != &HANDLE) return NOT_INITIALIZED;
    int status = checked(desc, layouts);
    if (status) return status;
    if (refuses > 0) { refuses--; return NOT_SUPPORTED; }
    if (!alpha || !beta || load(alpha, desc->scale, 0).re != 1 || load(alpha, desc->scale, 0).im) return INVALID_VALUE;
    if (load(beta, desc->scale, 0).re || load(beta, desc->scale, 0).im || c != d) return INVALID_VALUE;
    int item = size_of(la->type);
    for (int i = 0; i < 4; i++)
        if (!addresses[i] || (uintptr_t)addresses[i] % (item > 8 ? 8 : item)) return INVALID_VALUE;
    if (desc->epilogue & (BIAS | BGRADA | BGRADB) && (!desc->vector || (uintptr_t)desc->vector % item))
        return INVALID_VALUE;
    if (!algorithm || memcmp(algorithm->magic, "fakealgo", 8) || algorithm->problem != fingerprint(desc, layouts))
        return INVALID_VALUE;
    if (algorithm->workspace > size || (size && (!workspace || (uintptr_t)workspace % 16))) return INVALID_VALUE;
    if (size) memset(workspace, 0xab, 1 << 16); /* whoever else uses it will see */
    for (int64_t n = 0; n < la->batch; n++)
        multiply(desc, layouts, a + n * la->step * item, b + n * lb->step * item, d + n * ld->step * item);
    products++;
    last_workspace = size;
    return SUCCESS;
}
