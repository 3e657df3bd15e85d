using System.Buffers.Binary;
using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

/// <summary>Mutated safetensors files: a typed error or a layout that lies inside the file, never anything else.</summary>
public sealed unsafe class SafetensorsFuzzTests
{
    private static readonly byte[][] Seeds = [.. MakeSeeds()];

    [Fact]
    public void Mutated_headers_are_rejected_or_sound() => Fuzz.Run(100_000, MakeFile, static bytes =>
    {
        int length = SafetensorsHeader.ReadJsonLength(bytes, bytes.Length, "x");
        SafetensorsHeader header = SafetensorsHeader.Parse(bytes.AsSpan(8, length), bytes.Length, "x");
        AssertSound(header, bytes.Length);
    });

    [Fact]
    public void Mutated_files_are_rejected_or_readable()
    {
        using TempDirectory temp = new();
        string path = Path.Combine(temp.Path, "x.safetensors");
        Fuzz.Run(5_000, MakeFile, bytes =>
        {
            File.WriteAllBytes(path, bytes);
            using SafetensorsFile file = SafetensorsFile.Open(path);
            foreach (string name in file.Tensors)
            {
                Assert.True(file.TryGet(name, out TensorView tensor));
                if (!tensor.Bytes.IsEmpty)
                {
                    // Touching both ends would fault if the view left the mapping.
                    _ = tensor.Bytes[0] + tensor.Bytes[^1];
                    SafetensorsFile.Release(tensor);
                }
            }
        });
    }

    [Fact]
    public void Mutated_shards_and_indexes_are_rejected_or_readable()
    {
        using TempDirectory temp = new();
        byte[] index = "{\"metadata\":{\"total_size\":12},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"1.safetensors\",\"c\":\"2.safetensors\"}}"u8.ToArray();
        byte[][] good = [index, SafetensorsBytes.FileOf("a", "b"), SafetensorsBytes.FileOf("c")];
        string[] names = [WeightMap.IndexName, "1.safetensors", "2.safetensors"];
        int turn = 0;
        for (int i = 0; i < 3; i++)
        {
            temp.Write(names[i], good[i]);
        }

        Fuzz.Run(2_000, random => Mutator.Mutate(random, good[turn = random.Next(3)]), bytes =>
        {
            temp.Write(names[turn], bytes);
            try
            {
                using WeightMap weights = WeightMap.Open(temp.Path);
                Assert.Equal(weights.TotalBytes, weights.Names.Sum(name => (long)weights.Get(name).Bytes.Length));
            }
            finally
            {
                temp.Write(names[turn], good[turn]);
            }
        });
    }

    private static byte[] MakeFile(Random random)
    {
        byte[] seed = Seeds[random.Next(Seeds.Length)];
        int dataStart = 8 + (int)BinaryPrimitives.ReadUInt64LittleEndian(seed);
        if (random.Next(8) == 0)
        {
            return Mutator.Mutate(random, seed);
        }

        // As a rule the length is made to fit the mutated header again: otherwise most cases would end at the first check.
        byte[] header = Mutator.Mutate(random, seed.AsSpan(8, dataStart - 8));
        int dataLength = seed.Length - dataStart + (random.Next(16) == 0 ? random.Next(-1, 2) : 0);
        return SafetensorsBytes.File(header, dataLength);
    }

    private static IEnumerable<byte[]> MakeSeeds()
    {
        yield return SafetensorsBytes.FileOf("a", "b", "c");
        yield return SafetensorsBytes.File(
            "{\"__metadata__\":{\"format\":\"pt\"},"
            + SafetensorsBytes.Entry("b", "U8", "[3]", "[8,11]") + ","
            + SafetensorsBytes.Entry("a", "F32", "[2,1]", "[0,8]") + ","
            + SafetensorsBytes.Entry("s", "BF16", "[]", "[11,13]") + ","
            + SafetensorsBytes.Entry("e", "I64", "[0,5]", "[8,8]") + "}   ",
            13);

        yield return SafetensorsBytes.FileOf([.. Enumerable.Range(0, 12).Select(static i => $"model.layers.{i}.self_attn.q_proj.weight")]);
        yield return SafetensorsBytes.File("{" + SafetensorsBytes.Entry("packed", "F4", "[2,4]", "[0,4]") + "," + SafetensorsBytes.Entry("wide", "F64", "[1]", "[4,12]") + "}", 12);
    }

    private static void AssertSound(SafetensorsHeader header, long fileLength)
    {
        long position = 0;
        foreach (SafetensorsEntry entry in header.Tensors.Values.OrderBy(static entry => entry.Begin).ThenBy(static entry => entry.End))
        {
            Assert.Equal(position, entry.Begin);
            UInt128 bits = (UInt128)entry.Dtype.Bits();
            foreach (long dim in entry.Shape)
            {
                bits = checked(bits * (UInt128)dim);
            }

            Assert.Equal(bits, (UInt128)(entry.End - entry.Begin) * 8);
            position = entry.End;
        }

        Assert.Equal(fileLength - header.DataStart, position);
    }
}
