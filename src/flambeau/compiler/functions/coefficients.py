"""Coefficients of the elementary functions, lowest power first.

Written by ``tools/fit_polynomials.py``; edit that, not this.  The comment above a polynomial is
its largest error relative to the function that it is a part of.
"""

from __future__ import annotations

# error 3.4e-09
EXP_32 = (
    float.fromhex("0x1.0000000000000p-1"),
    float.fromhex("0x1.55548a0000000p-3"),
    float.fromhex("0x1.5554e40000000p-5"),
    float.fromhex("0x1.123e4c0000000p-7"),
    float.fromhex("0x1.6d51680000000p-10"),
)
# error 3.2e-09
EXP2_32 = (
    float.fromhex("0x1.62e4300000000p-1"),
    float.fromhex("0x1.ebfbe00000000p-3"),
    float.fromhex("0x1.c6af720000000p-5"),
    float.fromhex("0x1.3b2a480000000p-7"),
    float.fromhex("0x1.5f0dcc0000000p-10"),
    float.fromhex("0x1.4424b00000000p-13"),
)
# error 1.9e-10
SIN_32 = (
    float.fromhex("-0x1.5555560000000p-3"),
    float.fromhex("0x1.1111660000000p-7"),
    float.fromhex("-0x1.a04a760000000p-13"),
    float.fromhex("0x1.7864f80000000p-19"),
)
# error 1.1e-10
COS_32 = (
    float.fromhex("0x1.55554a0000000p-5"),
    float.fromhex("-0x1.6c0c2c0000000p-10"),
    float.fromhex("0x1.99e9d40000000p-16"),
)
# error 1.1e-09
TANH_32 = (
    float.fromhex("-0x1.55554a0000000p-2"),
    float.fromhex("0x1.110cfc0000000p-3"),
    float.fromhex("-0x1.b922440000000p-5"),
    float.fromhex("0x1.590d240000000p-6"),
    float.fromhex("-0x1.9a2c840000000p-8"),
)
# error 1.3e-09
ERF_32 = (
    float.fromhex("0x1.06eba80000000p-3"),
    float.fromhex("-0x1.8127400000000p-2"),
    float.fromhex("0x1.ce2d500000000p-4"),
    float.fromhex("-0x1.b7fe8e0000000p-6"),
    float.fromhex("0x1.542dee0000000p-8"),
    float.fromhex("-0x1.a5099e0000000p-11"),
    float.fromhex("0x1.4c2f4c0000000p-14"),
)
# error 8.9e-10
LOG_32 = (
    float.fromhex("0x1.5555460000000p-2"),
    float.fromhex("-0x1.00000a0000000p-2"),
    float.fromhex("0x1.99a5460000000p-3"),
    float.fromhex("-0x1.555ae40000000p-3"),
    float.fromhex("0x1.232cfa0000000p-3"),
    float.fromhex("-0x1.fc4da00000000p-4"),
    float.fromhex("0x1.e7a54e0000000p-4"),
    float.fromhex("-0x1.dd65100000000p-4"),
    float.fromhex("0x1.11c8740000000p-4"),
)
# error 1.2e-09
LOG2_32 = (
    float.fromhex("-0x1.7154760000000p-1"),
    float.fromhex("0x1.ec70880000000p-2"),
    float.fromhex("-0x1.7154c20000000p-2"),
    float.fromhex("0x1.277f380000000p-2"),
    float.fromhex("-0x1.ec6a100000000p-3"),
    float.fromhex("0x1.a409980000000p-3"),
    float.fromhex("-0x1.6f5df40000000p-3"),
    float.fromhex("0x1.609d840000000p-3"),
    float.fromhex("-0x1.554a560000000p-3"),
    float.fromhex("0x1.80f22e0000000p-4"),
)
# error 6.1e-20
EXP_64 = (
    float.fromhex("0x1.0000000000000p-1"),
    float.fromhex("0x1.555555555555cp-3"),
    float.fromhex("0x1.5555555555558p-5"),
    float.fromhex("0x1.111111110e9dep-7"),
    float.fromhex("0x1.6c16c16c15000p-10"),
    float.fromhex("0x1.a01a01b455d91p-13"),
    float.fromhex("0x1.a01a01ad7d6b0p-16"),
    float.fromhex("0x1.71ddee3ecd7a3p-19"),
    float.fromhex("0x1.27e4cc1405417p-22"),
    float.fromhex("0x1.af6ee586ebd03p-26"),
    float.fromhex("0x1.1f8bd99d1b7c7p-29"),
)
# error 1.3e-18
EXP2_64 = (
    float.fromhex("0x1.62e42fefa39efp-1"),
    float.fromhex("0x1.ebfbdff82c58fp-3"),
    float.fromhex("0x1.c6b08d704a183p-5"),
    float.fromhex("0x1.3b2ab6fba4d80p-7"),
    float.fromhex("0x1.5d87fe7888b62p-10"),
    float.fromhex("0x1.430912f8a93b7p-13"),
    float.fromhex("0x1.ffcbfcdbb0815p-17"),
    float.fromhex("0x1.62c021635f524p-20"),
    float.fromhex("0x1.b524224fbe196p-24"),
    float.fromhex("0x1.e4d2017c60869p-28"),
    float.fromhex("0x1.eafe8868eac99p-32"),
    float.fromhex("0x1.c0e2e02dac2bfp-36"),
)
# error 1.2e-19
SIN_64 = (
    float.fromhex("-0x1.5555555555555p-3"),
    float.fromhex("0x1.111111111108ap-7"),
    float.fromhex("-0x1.a01a01a0069a9p-13"),
    float.fromhex("0x1.71de3a3fc19bcp-19"),
    float.fromhex("-0x1.ae643ccfed9a0p-26"),
    float.fromhex("0x1.61145d8930541p-33"),
    float.fromhex("-0x1.a53a1af27481fp-41"),
)
# error 5.2e-20
COS_64 = (
    float.fromhex("0x1.555555555554bp-5"),
    float.fromhex("-0x1.6c16c16c1503fp-10"),
    float.fromhex("0x1.a01a019c95689p-16"),
    float.fromhex("-0x1.27e4f7f6ea6fcp-22"),
    float.fromhex("0x1.1ee9dfb7cf91ep-29"),
    float.fromhex("-0x1.8fa8985847226p-37"),
)
# error 3e-20
TANH_64 = (
    float.fromhex("-0x1.5555555555555p-2"),
    float.fromhex("0x1.111111111108dp-3"),
    float.fromhex("-0x1.ba1ba1ba1240ep-5"),
    float.fromhex("0x1.664f4880026bfp-6"),
    float.fromhex("-0x1.226e34e3e64a7p-7"),
    float.fromhex("0x1.d6d3b55a2df15p-9"),
    float.fromhex("-0x1.7da14f34b8de1p-10"),
    float.fromhex("0x1.353c5ab5d304ap-11"),
    float.fromhex("-0x1.f37b51b29ce99p-13"),
    float.fromhex("0x1.89bdd6e32bdfap-14"),
    float.fromhex("-0x1.139433cf67339p-15"),
    float.fromhex("0x1.efafcff65318cp-18"),
)
# error 1.2e-17
ERF_64 = (
    float.fromhex("0x1.06eba8214db69p-3"),
    float.fromhex("-0x1.812746b0379fdp-2"),
    float.fromhex("0x1.ce2f21a04362dp-4"),
    float.fromhex("-0x1.b82ce312abefep-6"),
    float.fromhex("0x1.565bcd1298e84p-8"),
    float.fromhex("-0x1.c02db49afb8cbp-11"),
    float.fromhex("0x1.f9a335368c5f6p-14"),
    float.fromhex("-0x1.f4d3335ad34d6p-17"),
    float.fromhex("0x1.b9ee92f3c5200p-20"),
    float.fromhex("-0x1.5f9810fc0cc3fp-23"),
    float.fromhex("0x1.fc77ba102e001p-27"),
    float.fromhex("-0x1.4675d488fef9fp-30"),
    float.fromhex("0x1.296e609a1cbd9p-34"),
)
# error 1.8e-20
LOG_64 = (
    float.fromhex("0x1.5555555555555p-1"),
    float.fromhex("0x1.9999999999d0dp-2"),
    float.fromhex("0x1.2492492439dc7p-2"),
    float.fromhex("0x1.c71c724b00b54p-3"),
    float.fromhex("0x1.745ce1e46b4ebp-3"),
    float.fromhex("0x1.3b202098f5061p-3"),
    float.fromhex("0x1.0f678a3d1e989p-3"),
    float.fromhex("0x1.0f0befb1d6faep-3"),
)
# error 1.6e-09
ERFC_LOG2_32 = (
    float.fromhex("-0x1.02a7f60000000p-11"),
    float.fromhex("-0x1.a044860000000p+0"),
    float.fromhex("-0x1.d75eca0000000p-1"),
    float.fromhex("-0x1.30a8320000000p-3"),
    float.fromhex("0x1.0223160000000p-5"),
    float.fromhex("-0x1.16d13e0000000p-8"),
    float.fromhex("0x1.1a35a60000000p-12"),
)
# error 1.5e-08
ERFC_EXP2_32 = (
    float.fromhex("0x1.62e4300000000p-1"),
    float.fromhex("0x1.ebf9a80000000p-3"),
    float.fromhex("0x1.c6af720000000p-5"),
    float.fromhex("0x1.3cf04c0000000p-7"),
    float.fromhex("0x1.5f0dcc0000000p-10"),
)
# error 1.6e-18
ERFCX_64 = (
    float.fromhex("0x1.d94446d627932p-3"),
    float.fromhex("-0x1.97beed129e293p-2"),
    float.fromhex("0x1.ff4e7f9262495p-3"),
    float.fromhex("-0x1.ae49942a7d6c8p-4"),
    float.fromhex("0x1.635951a6b8c78p-6"),
    float.fromhex("0x1.bcc257e279b23p-9"),
    float.fromhex("-0x1.6accfc4ef3261p-9"),
    float.fromhex("-0x1.86ce21674a9b6p-13"),
    float.fromhex("0x1.8ff33198fa87dp-12"),
    float.fromhex("0x1.7e218d6a0a87ap-15"),
    float.fromhex("-0x1.e89984c39c3f8p-15"),
    float.fromhex("-0x1.16e5e7f9e431ap-16"),
    float.fromhex("0x1.05a44b0fb7e8ep-17"),
    float.fromhex("0x1.5a94d8e818e5bp-18"),
    float.fromhex("-0x1.afc2181e0e3acp-22"),
    float.fromhex("-0x1.8732de4994de7p-20"),
    float.fromhex("0x1.d41a3d8d6f000p-25"),
    float.fromhex("0x1.32ce0589d5348p-21"),
    float.fromhex("-0x1.3f671c69ebdc5p-22"),
)
# error 5.1e-16
POW_LOG2_32 = (
    float.fromhex("0x1.71547652b82ffp+1"),
    float.fromhex("0x1.ec709dc39ccd7p-1"),
    float.fromhex("0x1.2776c5167ad0cp-1"),
    float.fromhex("0x1.a617569e15898p-2"),
    float.fromhex("0x1.484fa4424078fp-2"),
    float.fromhex("0x1.0bb87f087c05dp-2"),
    float.fromhex("0x1.f176b5485e8aap-3"),
)
# error 7.9e-13
POW_EXP2_32 = (
    float.fromhex("0x1.62e42fef84cd5p-1"),
    float.fromhex("0x1.ebfbdff81af25p-3"),
    float.fromhex("0x1.c6b08dd700792p-5"),
    float.fromhex("0x1.3b2ab72566630p-7"),
    float.fromhex("0x1.5d8745a3d1de6p-10"),
    float.fromhex("0x1.430895bbd9dadp-13"),
    float.fromhex("0x1.00dc4c3b9706ap-16"),
    float.fromhex("0x1.63e8d842b8601p-20"),
)
# error 1.4e-18
ATAN_64 = (
    float.fromhex("-0x1.555555555553bp-2"),
    float.fromhex("0x1.99999999954c3p-3"),
    float.fromhex("-0x1.249249229966ep-3"),
    float.fromhex("0x1.c71c70df04ef9p-4"),
    float.fromhex("-0x1.745cf8215e887p-4"),
    float.fromhex("0x1.3b110ceaec1c3p-4"),
    float.fromhex("-0x1.10eb34d70bcc8p-4"),
    float.fromhex("0x1.df0826977b624p-5"),
    float.fromhex("-0x1.9cb3c64e96ae6p-5"),
    float.fromhex("0x1.37899517e38f8p-5"),
    float.fromhex("-0x1.24c8a07651b9ap-6"),
)
# error 1e-18
ASIN_64 = (
    float.fromhex("0x1.5555555555578p-3"),
    float.fromhex("0x1.333333332dff9p-4"),
    float.fromhex("0x1.6db6db721b49fp-5"),
    float.fromhex("0x1.f1c71a92dc6c2p-6"),
    float.fromhex("0x1.6e8bdf05530e7p-6"),
    float.fromhex("0x1.1c49eebb8d8d0p-6"),
    float.fromhex("0x1.ca1fa5c656423p-7"),
    float.fromhex("0x1.75850c0c701a3p-7"),
    float.fromhex("0x1.613e69298dc1fp-7"),
    float.fromhex("0x1.e5defa89202b0p-9"),
    float.fromhex("0x1.63a35b61c1147p-6"),
    float.fromhex("-0x1.58093019c8bfbp-6"),
    float.fromhex("0x1.0b4b7078caf68p-5"),
)
# error 4.3e-23
POW_LOG2_64 = (
    float.fromhex("0x1.71547652b82fep+1"),
    float.fromhex("0x1.ec709dc3a03fdp-1"),
    float.fromhex("0x1.2776c50ef9bffp-1"),
    float.fromhex("0x1.a61762a7adc4cp-2"),
    float.fromhex("0x1.484b13d7e961cp-2"),
    float.fromhex("0x1.0c9a8482c5703p-2"),
    float.fromhex("0x1.c68f65369316dp-3"),
    float.fromhex("0x1.89f0b823ce8a7p-3"),
    float.fromhex("0x1.5bfab10dea6ccp-3"),
    float.fromhex("0x1.2fd7ff08e0acfp-3"),
    float.fromhex("0x1.614c15d71edf8p-3"),
)
POW_LOG2_64_LOW = (
    float.fromhex("0x1.777d109b3a8c2p-55"),
    float.fromhex("0x1.d26b4bf460cedp-55"),
)
LN2_32 = (
    float.fromhex("0x1.62e4300000000p-1"),
    float.fromhex("-0x1.05c6100000000p-29"),
)
LOG2_E_32 = (
    float.fromhex("0x1.7154760000000p+0"),
    float.fromhex("0x1.4ae0c00000000p-26"),
)
HALF_PI_32 = (
    float.fromhex("0x1.921fb60000000p+0"),
    float.fromhex("-0x1.777a5c0000000p-25"),
    float.fromhex("-0x1.ee59da0000000p-50"),
)
TWO_OVER_PI_32 = (float.fromhex("0x1.45f3060000000p-1"),)
LOG10_E_32 = (
    float.fromhex("0x1.bcb7b20000000p-2"),
    float.fromhex("-0x1.5b235e0000000p-27"),
)
LN2_64 = (
    float.fromhex("0x1.62e42fefa39efp-1"),
    float.fromhex("0x1.abc9e3b39803fp-56"),
)
LOG2_E_64 = (
    float.fromhex("0x1.71547652b82fep+0"),
    float.fromhex("0x1.777d0ffda0d24p-56"),
)
HALF_PI_64 = (
    float.fromhex("0x1.921fb54442d18p+0"),
    float.fromhex("0x1.1a62633145c07p-54"),
    float.fromhex("-0x1.f1976b7ed8fbcp-110"),
)
TWO_OVER_PI_64 = (float.fromhex("0x1.45f306dc9c883p-1"),)
LOG10_E_64 = (
    float.fromhex("0x1.bcb7b1526e50ep-2"),
    float.fromhex("0x1.95355baaafad3p-57"),
)
ERFCX_CENTRE = 2.25
# 2/pi in binary, 64 bits an item, after 64 zero bits
TWO_OVER_PI_BITS = (
    0x0000000000000000,
    0xA2F9836E4E441529,
    0xFC2757D1F534DDC0,
    0xDB6295993C439041,
    0xFE5163ABDEBBC561,
    0xB7246E3A424DD2E0,
    0x06492EEA09D1921C,
    0xFE1DEB1CB129A73E,
    0xE88235F52EBB4484,
    0xE99C7026B45F7E41,
    0x3991D639835339F4,
    0x9C845F8BBDF9283B,
    0x1FF897FFDE05980F,
    0xEF2F118B5A0A6D1F,
    0x6D367ECF27CB09B7,
    0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B,
    0x3D0739F78A5292EA,
    0x6BFB5FB11F8D5D08,
    0x56033046FC7B6BAB,
    0xF0CFBC209AF4361D,
)
