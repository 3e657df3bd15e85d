namespace VllmNative.BindingGenerator.Writers;

/// <summary>native/capi/abi_layout.inc: the table that vn_abi_layout answers from; the C++ compiler fills in the numbers.</summary>
internal static class AbiLayoutWriter
{
    public static string Write(HeaderModel header)
    {
        var code = new CodeText();
        code.Line("// Written by VllmNative.BindingGenerator from native/include/vllm_native.h; do not edit.");
        foreach (HeaderStruct @struct in header.Structs)
        {
            code.Line($"{{\"{@struct.Name}\", sizeof({@struct.Name})}},");
            foreach (HeaderField field in @struct.Fields)
            {
                code.Line($"{{\"{@struct.Name}.{field.Name}\", offsetof({@struct.Name}, {field.Name})}},");
            }
        }
        return code.ToString();
    }
}
