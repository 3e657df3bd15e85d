using System.Buffers.Binary;
using System.Text;

namespace VllmNative.Tests.Loading;

/// <summary>Builds safetensors files, good and bad ones.</summary>
internal static class SafetensorsBytes
{
    /// <summary>Length, header and that many data bytes 0, 1, 2, ...</summary>
    public static byte[] File(string header, int dataLength) => File(Encoding.UTF8.GetBytes(header), dataLength);

    /// <summary>The same with a header of any bytes.</summary>
    public static byte[] File(byte[] header, int dataLength, ulong? statedLength = null)
    {
        byte[] file = new byte[8 + header.Length + dataLength];
        BinaryPrimitives.WriteUInt64LittleEndian(file, statedLength ?? (ulong)header.Length);
        header.CopyTo(file, 8);
        for (int i = 0; i < dataLength; i++)
        {
            file[8 + header.Length + i] = (byte)i;
        }

        return file;
    }

    /// <summary>The JSON of one entry.</summary>
    public static string Entry(string name, string dtype, string shape, string offsets) =>
        $"\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}";

    /// <summary>A file with byte tensors of these names, four bytes each.</summary>
    public static byte[] FileOf(params string[] names) =>
        File("{" + string.Join(',', names.Select((name, i) => Entry(name, "U8", "[4]", $"[{4 * i},{(4 * i) + 4}]"))) + "}", 4 * names.Length);
}
