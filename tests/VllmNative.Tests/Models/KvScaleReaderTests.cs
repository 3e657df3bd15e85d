using System.Buffers.Binary;
using VllmNative.Bindings;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;
using VllmNative.Models;
using VllmNative.Tensors;
using VllmNative.Tests.Engine;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Models;

/// <summary>Scales of an fp8 KV cache in checkpoints.</summary>
public sealed class KvScaleReaderTests
{
    private const string Attention = "model.layers.0.self_attn.";

    [Theory]
    [InlineData("k_scale", "v_scale")]
    [InlineData("attn.k_scale", "attn.v_scale")]
    [InlineData("k_proj.output_scale", "v_proj.output_scale")]
    public void Each_layer_has_its_own_under_any_known_name(string key, string value)
    {
        KvScales[] scales = Read(2, (Attention + key, "F32", "[]", 0.25f), ("model.layers.1.self_attn." + value, "F32", "[1]", 3.5f));
        Assert.Equal([new KvScales(0.25f, 1), new KvScales(1, 3.5f)], scales);
    }

    [Fact]
    public void One_scale_may_be_for_both() => Assert.Equal([new KvScales(0.5f, 0.5f)], Read(1, (Attention + "kv_scale", "F32", "[1]", 0.5f)));

    [Fact]
    public void The_caches_own_name_counts_before_a_projections() =>
        Assert.Equal([new KvScales(2, 1)], Read(1, (Attention + "k_proj.output_scale", "F32", "[]", 9), (Attention + "k_scale", "F32", "[]", 2)));

    [Fact]
    public void Without_any_all_are_1() => Assert.Equal([KvScales.One, KvScales.One], Read(2, ("model.norm.weight", "F32", "[1]", 7)));

    [Theory]
    [InlineData("F32")]
    [InlineData("F16")]
    [InlineData("BF16")]
    public void Every_float_type_is_read(string dtype) => Assert.Equal([new KvScales(0.75f, 1)], Read(1, (Attention + "k_scale", dtype, "[]", 0.75f)));

    [Theory]
    [InlineData(0f, "is 0, expected a finite scale above 0")]
    [InlineData(-2f, "is -2, expected a finite scale above 0")]
    [InlineData(float.NaN, "is NaN, expected a finite scale above 0")]
    [InlineData(float.PositiveInfinity, "is Infinity, expected a finite scale above 0")]
    public void A_value_that_is_no_scale_is_refused_with_file_tensor_and_value(float value, string expected)
    {
        var error = Assert.Throws<ModelFormatException>(() => Read(1, (Attention + "v_scale", "F32", "[]", value)));
        Assert.Contains($"model.safetensors: {Attention}v_scale: {expected}", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("F32", "[2]", "has shape [2], expected one element")]
    [InlineData("I32", "[]", "has dtype I32, expected F32, F16 or BF16")]
    public void A_tensor_that_is_no_scalar_is_refused(string dtype, string shape, string expected)
    {
        var error = Assert.Throws<ModelFormatException>(() => Read(1, (Attention + "k_scale", dtype, shape, 1)));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.layers.3.self_attn.k_scale", true)]
    [InlineData("model.layers.3.self_attn.kv_scale", true)]
    [InlineData("model.layers.3.self_attn.v_proj.output_scale", true)]
    [InlineData("model.layers.3.self_attn.q_scale", false)]
    [InlineData("model.layers.3.self_attn.k_proj.weight", false)]
    [InlineData("model.layers.3.mlp.k_scale", false)]
    public void Names_of_scales_are_known(string name, bool expected) => Assert.Equal(expected, KvScaleReader.IsScale(name));

    [Fact]
    public unsafe void Scales_reach_their_layers_caches()
    {
        using Device device = Device.Create(DeviceKind.Cpu, 0, 1);
        var group = new KvGroup(2, 4, 1, 8, 8, DataType.Float8E4M3) { Scales = [new KvScales(0.5f, 2), new KvScales(3, 4)] };
        using var pool = new KvPool(device, group, 2);
        Assert.Equal(2 * 4 * (8 + 8), group.BlockBytes);
        Assert.Equal((0.5f, 2f, 3f, 4f), (pool.ViewOf(0).KeyScale, pool.ViewOf(0).ValueScale, pool.ViewOf(1).KeyScale, pool.ViewOf(1).ValueScale));

        float[] one = [.. Enumerable.Repeat(1f, 8)];
        long[] slot = [0];
        fixed (float* x = one)
        {
            fixed (long* slots = slot)
            {
                Tensor source = Tensor.Cube((nint)x, DataType.Float32, 1, 1, 8);
                device.RopeCacheWrite(
                    new RopeCacheWriteInputs
                    {
                        Query = source,
                        Key = source,
                        Value = source,
                        CosSin = Tensor.Matrix(0, DataType.Float32, 1, 0),
                        Style = RopeStyle.NeoX,
                        SlotMapping = Tensor.Vector((nint)slots, DataType.Int64, 1),
                    },
                    pool.ViewOf(0));
            }
        }

        Assert.Equal((0x40, 0x30), (*(byte*)pool.ViewOf(0).Key, *(byte*)pool.ViewOf(0).Value)); // 1 / 0.5 and 1 / 2 in E4M3
    }

    [Theory]
    [InlineData(KvCacheDtype.Auto, float.NaN, null)]
    [InlineData(KvCacheDtype.Fp8, 0.03f, null)]
    [InlineData(KvCacheDtype.Fp8, float.NaN, "self_attn.k_scale: is NaN")]
    public void Only_an_fp8_cache_reads_them(KvCacheDtype dtype, float scale, string? expected)
    {
        using TempDirectory directory = TinyWith(Attention + "k_scale", scale);
        EngineOptions options = TestEngines.Tiny with { Model = directory.Path, KvCacheDtype = dtype };
        if (expected is null)
        {
            using var engine = AsyncLlmEngine.Create(options);
            return;
        }

        var error = Assert.Throws<ModelFormatException>(() => AsyncLlmEngine.Create(options));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    private static KvScales[] Read(int layers, params (string Name, string Dtype, string Shape, float Value)[] tensors)
    {
        using var directory = new TempDirectory();
        List<byte> data = [];
        List<string> entries = [];
        foreach ((string name, string dtype, string shape, float value) in tensors)
        {
            int begin = data.Count;
            for (int i = 0; i < (shape == "[2]" ? 2 : 1); i++)
            {
                data.AddRange(BytesOf(dtype, value));
            }

            entries.Add(SafetensorsBytes.Entry(name, dtype, shape, $"[{begin},{data.Count}]"));
        }

        byte[] file = SafetensorsBytes.File("{" + string.Join(',', entries) + "}", data.Count);
        data.CopyTo(file, file.Length - data.Count);
        directory.Write(WeightMap.SingleName, file);
        using WeightMap weights = WeightMap.Open(directory.Path);
        return KvScaleReader.Read(weights, layers);
    }

    private static byte[] BytesOf(string dtype, float value)
    {
        byte[] bytes = new byte[dtype.EndsWith("16", StringComparison.Ordinal) ? 2 : 4];
        switch (dtype)
        {
            case "F16": BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)value); break;
            case "BF16": BinaryPrimitives.WriteInt16LittleEndian(bytes, (short)(BitConverter.SingleToInt32Bits(value) >> 16)); break;
            default: BinaryPrimitives.WriteSingleLittleEndian(bytes, value); break;
        }

        return bytes;
    }

    // The tiny Llama with one more tensor, at the end of its file.
    private static TempDirectory TinyWith(string name, float value)
    {
        string source = TestAssets.Path("models", "tiny", "llama");
        byte[] file = File.ReadAllBytes(Path.Combine(source, WeightMap.SingleName));
        int headerLength = (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        string header = System.Text.Encoding.UTF8.GetString(file, 8, headerLength).TrimEnd();
        int data = file.Length - 8 - headerLength;
        header = header[..^1] + "," + SafetensorsBytes.Entry(name, "F32", "[]", $"[{data},{data + 4}]") + "}";
        byte[] changed = SafetensorsBytes.File(header, data + 4);
        file.AsSpan(8 + headerLength).CopyTo(changed.AsSpan(changed.Length - 4 - data));
        BinaryPrimitives.WriteSingleLittleEndian(changed.AsSpan(changed.Length - 4), value);

        var directory = new TempDirectory();
        directory.Write(WeightMap.SingleName, changed);
        directory.Write("config.json", File.ReadAllBytes(Path.Combine(source, "config.json")));
        return directory;
    }
}
